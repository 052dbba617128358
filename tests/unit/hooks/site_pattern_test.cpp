// SPDX-License-Identifier: Apache-2.0
#include "vene/hooks/site_pattern.h"

#include <gmock/gmock.h>

#include "vene/base/error.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Layers = std::vector<std::int64_t>;

class SitePatterns : public testing::Test {
 protected:
  void SetUp() override {
    add("embedding", -1, "wte.output", 1, -1);
    for (std::int64_t layer = 0; layer < 3; ++layer) {
      const std::string block = "h." + std::to_string(layer);
      const auto id = static_cast<SiteId>(10 * (layer + 1));
      add("block_output", layer, block + ".output", id, layer);
      add("query_output", layer, block + ".query.output", id + 1, layer);
      add("head_query_output", layer, block + ".query.output", id + 1, layer);
      add("", -1, block + ".ln.output", id + 2, layer);
    }
    add("final_norm", -1, "ln_f.output", 2, 3);
  }
  void add(const std::string& component, std::int64_t layer, const std::string& path, SiteId id, std::int64_t stage) {
    Site site;
    site.component = component;
    site.layer = layer;
    site.path = path;
    site.id = id;
    site.stage = stage;
    table_.add(std::move(site));
  }
  std::vector<std::string> names(const std::string& pattern, const std::optional<Layers>& layers = {}) {
    std::vector<std::string> all;
    for (const Site& site : sites_matching(table_, pattern, layers))
      all.push_back(site.component.empty() ? site.path : site.component + "." + std::to_string(site.layer));
    return all;
  }
  SiteTable table_;
};

TEST_F(SitePatterns, ANameMeansItsLayersInOrder) {
  EXPECT_THAT(names("block_output"), ElementsAre("block_output.0", "block_output.1", "block_output.2"));
  EXPECT_THAT(names("block_output", Layers{2, 0}), ElementsAre("block_output.0", "block_output.2"));
  EXPECT_THAT(names("embedding"), ElementsAre("embedding.-1"));
  EXPECT_THAT(names("embedding", Layers{1}), ElementsAre("embedding.-1"));
  EXPECT_THAT(names("head_query_output", Layers{1}), ElementsAre("head_query_output.1"));
}

TEST_F(SitePatterns, APatternTakesAValueOnceAndLayerByLayer) {
  EXPECT_THAT(names("*"), ElementsAre("embedding.-1", "block_output.0", "query_output.0", "block_output.1",
                                      "query_output.1", "block_output.2", "query_output.2", "final_norm.-1"));
  EXPECT_THAT(names("*_output", Layers{1}), ElementsAre("block_output.1", "query_output.1"));
  EXPECT_THAT(names("head_*", Layers{0}), ElementsAre("head_query_output.0"));
  EXPECT_THAT(names("*m*d*ing"), ElementsAre("embedding.-1"));
}

TEST_F(SitePatterns, ADotMakesAPath) {
  EXPECT_THAT(names("h.1.ln.output"), ElementsAre("h.1.ln.output"));
  EXPECT_THAT(names("h.*.ln.output"), ElementsAre("h.0.ln.output", "h.1.ln.output", "h.2.ln.output"));
  EXPECT_THAT(names("h.2.*"), ElementsAre("h.2.output", "h.2.query.output", "h.2.ln.output"));
}

TEST_F(SitePatterns, WhatFitsNothingIsRefusedWithTheNearestNames) {
  const auto message = [&](const std::string& pattern, const std::optional<Layers>& layers = {}) {
    return [=, this] { names(pattern, layers); };
  };
  EXPECT_THAT(message("blok_output"),
              ThrowsMessage<PlanError>(HasSubstr("no component 'blok_output'; did you mean 'block_output'?")));
  EXPECT_THAT(message("*_outptu"), ThrowsMessage<PlanError>(HasSubstr("no component of this model fits '*_outptu'")));
  EXPECT_THAT(message("h.*.mlp.output"),
              ThrowsMessage<PlanError>(HasSubstr("no path of this model fits 'h.*.mlp.output'")));
  EXPECT_THAT(message("block_output", Layers{3}),
              ThrowsMessage<PlanError>(HasSubstr("layer 3 of component 'block_output' does not exist")));
  EXPECT_THAT(message("*_output", Layers{0, 7}),
              ThrowsMessage<PlanError>(
                  HasSubstr("layer 7 of components that fit '*_output' does not exist: layers are 0 to 2")));
}

}  // namespace
}  // namespace vene

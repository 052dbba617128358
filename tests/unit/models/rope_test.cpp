// SPDX-License-Identifier: Apache-2.0
// Rotary positions of every kind against transformers (tests/golden/rope), at lengths within and beyond the context.
#include <gmock/gmock.h>

#include <fstream>

#include "checkpoint.h"
#include "tests/places.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using Json = nlohmann::json;

std::filesystem::path golden_rope() {
  return std::filesystem::path(kSourceFolder) / "tests" / "golden" / "rope";
}

// The ids (7 i + 3) mod 60.
std::vector<std::int64_t> ids_of(std::int64_t length) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < length; ++i) ids.push_back((7 * i + 3) % 60);
  return ids;
}

void set_fields(Json& config, const Json& fields) {
  for (const auto& [field, value] : fields.items()) {
    if (value.is_null()) {
      config.erase(field);
    } else {
      config[field] = value;
    }
  }
}

TEST(Rope, IsThatOfTransformersWithinAndBeyondTheContext) {
  const Json cases = Json::parse(std::ifstream(golden_rope() / "cases.json"));
  const NamedValues logits = read_values(golden_rope() / "logits.safetensors");
  std::size_t compared = 0;
  for (const auto& [name, one] : cases.items()) {
    Checkpoint checkpoint(one["folder"]);
    set_fields(checkpoint.config, one["set"]);
    const auto model = vene::models::load(checkpoint.write(), {.warn = [](const std::string&) {}}).model;
    for (const std::int64_t length : one["lengths"]) {
      SCOPED_TRACE(name + " " + std::to_string(length));
      const torch::Tensor made = model->forward(row_of(ids_of(length))).logits[0].slice(0, length - 3);
      EXPECT_LE(relative_error(made, logits.at(name + "." + std::to_string(length))), 1e-5);
      ++compared;
    }
  }
  EXPECT_EQ(compared, logits.size());
  EXPECT_GT(compared, 60U);
}

// transformers takes the longest row of a batch for all of them, so that a row's values depend on its neighbours.
TEST(Rope, OfARowDoesNotDependOnTheRowsBesideIt) {
  const Json cases = Json::parse(std::ifstream(golden_rope() / "cases.json"));
  for (const char* name : {"dynamic", "longrope", "yarn", "neox_dynamic"}) {
    SCOPED_TRACE(name);
    Checkpoint checkpoint(cases[name]["folder"]);
    set_fields(checkpoint.config, cases[name]["set"]);
    const auto model = vene::models::load(checkpoint.write(), {.warn = [](const std::string&) {}}).model;
    for (const bool left : {false, true}) {
      const Batch both = padded({ids_of(12), ids_of(70)}, left);
      const torch::Tensor rows = model->forward(both).logits;
      const torch::Tensor alone = model->forward(row_of(ids_of(12))).logits[0];
      EXPECT_LE(relative_error(left ? rows[0].slice(0, 58) : rows[0].slice(0, 0, 12), alone), 2e-6);
      EXPECT_LE(relative_error(rows[1], model->forward(row_of(ids_of(70))).logits[0]), 2e-6);
    }
  }
}

TEST(Rope, ContradictionsAreRefused) {
  const auto refused = [](const Json& fields) {
    Checkpoint checkpoint("qwen3_plain");
    set_fields(checkpoint.config, fields);
    return checkpoint.refused();
  };
  const Json linear{{"rope_type", "linear"}, {"factor", 2.0}};
  EXPECT_THAT(refused({{"rope_parameters", linear}, {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}}),
              HasSubstr("config.json: rope_parameters and rope_scaling contradict each other; expected one of them, or "
                        "the same"));
  EXPECT_THAT(refused({{"rope_parameters", {{"rope_type", "linear"}, {"type", "yarn"}, {"factor", 2.0}}}}),
              HasSubstr("rope_type is 'linear' and type is 'yarn'; expected one of them, or the same"));
  EXPECT_THAT(refused({{"rope_theta", 100.0}, {"rope_parameters", {{"rope_theta", 50.0}}}}),
              HasSubstr("rope_parameters: field 'rope_theta' is 50, and 'rope_theta' beside it is 100; expected one of "
                        "them, or the same"));
  EXPECT_THAT(refused({{"original_max_position_embeddings", 8},
                       {"rope_parameters",
                        {{"rope_type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 16}}}}),
              HasSubstr("field 'original_max_position_embeddings' is 16, and 8 beside it; expected one of them, or the "
                        "same"));
  Checkpoint same("qwen3_plain");
  same.config["rope_parameters"] = linear;
  same.config["rope_parameters"]["rope_theta"] = same.config["rope_theta"] = 50.0;
  same.config["rope_scaling"] = {{"type", "linear"}, {"rope_type", "linear"}, {"factor", 2}};
  EXPECT_NO_THROW(vene::models::load(same.write()));
}

TEST(Rope, WhatAKindLacksIsNamed) {
  const auto refused = [](const Json& rope) {
    Checkpoint checkpoint("qwen3_plain");
    checkpoint.config["rope_parameters"] = rope;
    return checkpoint.refused();
  };
  EXPECT_THAT(refused({{"rope_type", "dynamic"}}), HasSubstr("rope_parameters: field 'factor' is missing"));
  EXPECT_THAT(refused({{"rope_type", "longrope"}, {"long_factor", {1, 1, 1, 1}}}),
              HasSubstr("rope_parameters: field 'short_factor' is missing"));
  EXPECT_THAT(refused({{"rope_type", "longrope"}, {"long_factor", {1, 1, 1, 1}}, {"short_factor", {1, 1}}}),
              HasSubstr("config.json: short_factor: expected 4 numbers, one a pair of turned features, got 2"));
  EXPECT_THAT(refused({{"rope_type", "longrope"}, {"long_factor", {1, 1}}, {"short_factor", {1, 1, 1, 1}}}),
              HasSubstr("config.json: long_factor: expected 4 numbers, one a pair of turned features, got 2"));
  EXPECT_THAT(refused({{"rope_type", "longrope"}, {"long_factor", {1, "x"}}, {"short_factor", {1, 1, 1, 1}}}),
              HasSubstr("field 'long_factor': expected a list of numbers, got [1,\"x\"]"));
  EXPECT_THAT(refused({{"rope_type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", -3}}),
              HasSubstr("field 'original_max_position_embeddings': expected a positive number, got -3"));
  EXPECT_THAT(refused({{"rope_type", "yarm"}}), HasSubstr("rope_type 'yarm' is not supported; did you mean 'yarn'"));
  Checkpoint two("llama_mha");
  two.config["head_dim"] = 2;
  two.config["rope_parameters"] = {{"rope_type", "dynamic"}, {"factor", 2}};
  EXPECT_THAT(two.refused(), HasSubstr("rope_type 'dynamic' needs more than one pair of turned features"));
}

}  // namespace

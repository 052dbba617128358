// SPDX-License-Identifier: Apache-2.0
// What pyvene's generate says (tests/golden/generation/make_reference.py), token by token.
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "tests/unit/core/generate_helpers.h"
#include "vene/core/experiment.h"

namespace vene {
namespace {

using namespace vene_test;
using nlohmann::json;

using Rows = std::vector<std::vector<std::int64_t>>;

TEST(GenerateGolden, SaysTokenByTokenWhatPyveneSays) {
  const std::string folder = std::string(vene_test::kSourceFolder) + "/tests/golden/generation";
  const models::LanguageModel lm = models::load(folder);
  const json golden = json::parse(std::ifstream(folder + "/cases.json"));
  const torch::Tensor word = lm.model->token_embedding()[golden["word"].get<std::int64_t>()];
  ASSERT_EQ(golden["cases"].size(), 7U);
  for (const json& one : golden["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    json experiment{
        {"config", one["representations"]},
        {"base", {{"input_ids", golden["prompts"]}}},
        {"unit_locations", one["unit_locations"]},
        {"generate", {{"max_new_tokens", golden["new_tokens"]}, {"intervene_on_prompt", one["intervene_on_prompt"]}}}};
    if (one["strength"].is_null()) experiment["sources"] = json::array({{{"input_ids", golden["sources"]}}});
    for (const bool cache : {true, false}) {
      experiment["generate"]["use_cache"] = cache;
      Experiment parsed = parse_experiment(experiment.dump(), lm);
      if (!one["strength"].is_null()) parsed.request.source_representations = {word * one["strength"].get<double>()};
      const GenerateResult result = generate_experiment(parsed, lm);
      EXPECT_EQ(ids_of(*result.original), one["original"].get<Rows>());
      EXPECT_EQ(ids_of(result.intervened), one["intervened"].get<Rows>());
    }
  }
}

}  // namespace
}  // namespace vene

// SPDX-License-Identifier: Apache-2.0
// Models that people have: without a tokenizer that can be read, and without a head.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "vene/base/error.h"
#include "vene/models/load.h"
#include "vene/sweep/causal_trace.h"

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::source_path;
using vene_test::TestFolder;
using vene_test::vene_command;
using Json = nlohmann::json;

const std::string kPrompt = "The Space Needle is in downtown";

// As `vene tokenize --ids` prints them, with commas.
std::string ids_of(const vene::models::LanguageModel& lm, const std::string& text) {
  std::string ids;
  for (const std::int64_t id : lm.tokenizer->encode(text)) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  return ids;
}

// gpt2_untied's vocabulary is small, and it has no tokenizer.
const std::string kBare = source_path("tests/golden/models/gpt2_untied");

TEST(Ids, ATraceOfIdsIsTheOneOfTheirText) {
  const auto lm = vene::models::load(bundled_model());
  const TestFolder folder;
  const auto traced = [&](const std::string& name, std::vector<std::string> prompt) {
    std::vector<std::string> arguments{"trace",  "-m", bundled_model(), "--samples", "1", "--no-picture",
                                       "--json", "-o", folder / name,   "--threads", "1"};
    arguments.insert(arguments.end(), prompt.begin(), prompt.end());
    const Outcome ran = vene_command(arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out;
  };
  const std::string text = traced("text", {"-p", kPrompt, "--subject", "The Space Needle", "--target", " Rome"});
  const Json expected = Json::parse(text);
  ASSERT_EQ(expected["subject_positions"], Json({0, 1, 2}));
  EXPECT_EQ(traced("ids", {"--ids", ids_of(lm, kPrompt), "--subject-positions", "2,0,-5", "--target-id",
                           std::to_string(expected["target_id"].get<int>())}),
            text);
}

TEST(Ids, ATraceWithoutATokenizerShowsIds) {
  const TestFolder folder;
  const Outcome ran = vene_command({"trace", "-m", kBare, "--ids", "3,1,4", "--subject-positions", "0", "--samples",
                                    "1", "--no-picture", "--json", "-o", folder / "out"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json trace = Json::parse(ran.out);
  EXPECT_EQ(trace["tokens"], Json({"3", "1", "4"}));
  EXPECT_EQ(trace["prompt"], "3 1 4");
  EXPECT_EQ(trace["target"], std::to_string(trace["target_id"].get<int>()));
}

TEST(Ids, AGenerationOfIdsIsTheOneOfTheirText) {
  const auto lm = vene::models::load(bundled_model());
  const Outcome text = vene_command({"generate", "-m", bundled_model(), "-p", kPrompt, "-n", "4"}),
                ids = vene_command({"generate", "-m", bundled_model(), "--ids", ids_of(lm, kPrompt), "-n", "4"});
  ASSERT_EQ(ids.status, 0) << ids.err;
  EXPECT_EQ(ids.out, text.out);
  EXPECT_THAT(ids.out, HasSubstr(kPrompt));
}

TEST(Ids, AGenerationWithoutATokenizerPrintsIds) {
  const Outcome one = vene_command({"generate", "-m", kBare, "--ids", "3,1,4", "-n", "3", "--ignore-eos"}),
                two = vene_command(
                    {"generate", "-m", kBare, "--ids", "3,1,4", "--ids", "1 5", "-n", "3", "--ignore-eos", "--json"});
  ASSERT_EQ(one.status, 0) << one.err;
  ASSERT_EQ(two.status, 0) << two.err;
  const Json rows = Json::parse(two.out)["intervened_ids"];
  ASSERT_EQ(rows.size(), 2U);
  ASSERT_EQ(rows[0].size(), 6U);
  EXPECT_EQ(rows[1].size(), 5U);
  std::string line;
  for (const Json& id : rows[0]) line += std::to_string(id.get<int>()) + " ";
  EXPECT_EQ(one.out, line + "\n");
}

TEST(Ids, WrongOnesAreRefusedInASentence) {
  const TestFolder folder;
  struct Refused {
    std::vector<std::string> arguments;
    int status;
    std::string message;
  };
  const std::string out = folder / "out";
  for (const Refused& refused : std::vector<Refused>{
           {{"generate", "-m", kBare, "--ids", "3,x"}, 2, "--ids: expected token ids, such as 3,14,15, got '3,x'"},
           {{"generate", "-m", kBare, "--ids", "3", "-p", "a"}, 2, "--ids is another way to give prompts"},
           {{"generate", "-m", kBare, "--ids", "3", "--steer-token", " a"},
            1,
            "this model has no tokenizer, so the text of --steer-token cannot be read; give --steer FILE"},
           {{"generate", "-m", kBare, "-p", "a"}, 1, "so prompts cannot be read; give token ids (--ids)"},
           {{"generate", "-m", kBare}, 1, "give a prompt: -p TEXT, -f FILE or --ids IDS"},
           {{"trace", "-m", kBare, "-p", "a", "--subject", "a", "-o", out}, 1, "give token ids (--ids)"},
           {{"trace", "-m", kBare, "-o", out},
            2,
            "give a prompt: --prompt TEXT, --ids 3,14,15 or a file of prompts, --prompts FILE"},
           {{"trace", "-m", kBare, "-p", "a", "--ids", "3", "-o", out}, 2, "--ids and --prompt are two ways"},
           {{"trace", "-m", kBare, "--ids", "3", "--subject", "a", "-o", out},
            2,
            "--subject goes with --prompt; --ids takes --subject-positions and --target-id"},
           {{"trace", "-m", kBare, "-p", "a", "--target-id", "3", "-o", out}, 2, "--target-id goes with --ids"},
           {{"trace", "-m", kBare, "--ids", "3,1", "-o", out}, 1, "which of the 2 tokens are noised must be said"},
           {{"trace", "-m", kBare, "--ids", "3,1", "--subject-positions", "2", "-o", out},
            1,
            "subject_positions: there is no position 2 in a prompt of 2 tokens"},
           {{"trace", "-m", kBare, "--ids", "3,1,4", "--subject-positions", "0,-3", "-o", out},
            1,
            "subject_positions: a position is given twice"},
           {{"trace", "-m", kBare, "--ids", "3,1", "--subject-positions", "0,1", "-o", out},
            1,
            "subject_positions: they are the whole prompt, so nothing is left to restore"},
           {{"trace", "-m", kBare, "--ids", "3,1", "--subject-positions", "0", "--target-id", "99999999", "-o", out},
            1,
            "target_id: 99999999 is outside the vocabulary of "}}) {
    const Outcome ran = vene_command(refused.arguments);
    EXPECT_EQ(ran.status, refused.status) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(refused.message));
    EXPECT_THAT(vene_test::lines_of(ran.err), testing::SizeIs(1));
  }
  const auto lm = vene::models::load(bundled_model());
  const auto problem = [&](const auto& prompt, const vene::CausalTraceOptions& options) -> std::string {
    try {
      (void)vene::causal_trace(lm, prompt, options);
    } catch (const vene::ConfigError& error) {
      return error.what();
    }
    return "no error";
  };
  vene::CausalTraceOptions options;
  options.target_id = 3;
  EXPECT_THAT(problem(kPrompt, options), HasSubstr("subject_positions and target_id go with a prompt of token ids"));
  options.subject = "The";
  EXPECT_THAT(problem(std::vector<std::int64_t>{1, 2}, options), HasSubstr("subject and target are texts"));
}

TEST(Headless, EveryCommandThatNeedsLogitsSaysSoInOneSentence) {
  const TestFolder folder;
  vene_test::write_text(folder / "spec.json", R"({"config": [{"intervention_type": "rotated_space"}],
      "training": {"epochs": 1}, "examples": [{"base": {"input_ids": [[1, 2, 3]]}, "sources": {"input_ids": [[1, 2, 4]]},
      "unit_locations": {"base": "last"}, "subspaces": 0, "label": 5}]})");
  vene_test::write_text(folder / "run.json", R"({"config": [{"intervention_type": "zero"}],
      "base": {"input_ids": [[1, 2, 3]]}, "unit_locations": {"base": 0}})");
  int number = 0;
  for (const char* name :
       {"bert_headless", "esm_headless", "gemma2_headless", "gpt2_headless", "gpt_neox_headless", "llama_headless"}) {
    const std::string model = source_path("tests/golden/models/" + std::string(name));
    const std::string out = folder / ("out" + std::to_string(number++));
    const bool encoder = std::string(name) == "bert_headless" || std::string(name) == "esm_headless";
    for (const auto& [arguments, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"train", "-m", model, folder / "spec.json", "-o", out, "--no-picture"}, "training needs logits"},
             {{"trace", "-m", model, "--ids", "1,2,3", "--subject-positions", "0", "-o", out}, "needs logits"},
             {{"trace", "-m", model, "--ids", "1,2,3", "--subject-positions", "0", "--target-id", "3", "-o", out},
              "needs logits"},
             {{"generate", "-m", model, "--ids", "1,2,3"}, encoder ? "generate" : "gives no logits"},
             {{"run", "-m", model, folder / "run.json", "-o", out, "--top", "3"}, "this experiment gives none"}}) {
      const Outcome ran = vene_command(arguments);
      EXPECT_EQ(ran.status, 1) << name << " " << arguments[0] << ran.out;
      EXPECT_THAT(ran.err,
                  AllOf(HasSubstr(message), Not(HasSubstr("does not have a device")), Not(HasSubstr("undefined"))))
          << name << " " << arguments[0];
      EXPECT_THAT(vene_test::lines_of(ran.err), testing::SizeIs(1)) << name << " " << arguments[0];
    }
  }
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// `vene verify` on the golden folders, as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "test_folder.h"
#include "tests/places.h"
#include "vene/io/safetensors.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using Values = std::map<std::string, torch::Tensor>;

class Verify : public testing::Test {
 protected:
  static std::string golden(const std::string& name) {
    return std::string(vene_test::kSourceFolder) + "/tests/golden/models/" + name;
  }
  static std::string text_of(const fs::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  int shell(const std::string& line) {
    const int status = std::system((line + " >" + folder / "out" + " 2>" + folder / "err").c_str());
    out = text_of(folder / "out");
    err = text_of(folder / "err");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
  int verify(const std::string& name, const std::string& reference, const std::string& more = "") {
    return shell(std::string(vene_test::kBinaryFolder) + "/bin/vene verify -m " + golden(name) + " --reference " +
                 reference + " " + more);
  }
  // The folder's own reference after a change.
  std::string changed(const std::string& name, const std::function<void(Values&)>& change) {
    const auto file = vene::io::Safetensors::open(golden(name) + "/reference.safetensors");
    Values values;
    for (const auto& info : file.tensors()) values[info.name] = file.tensor(info.name).clone();
    change(values);
    std::string path = folder / "changed.safetensors";
    vene::io::write_safetensors(path, {values.begin(), values.end()});
    return path;
  }

  vene_test::TestFolder folder;
  std::string out, err;
};

TEST_F(Verify, SaysItsVerdict) {
  const std::string reference = golden("gpt2_tied") + "/reference.safetensors";
  EXPECT_EQ(verify("gpt2_tied", reference), 0);
  EXPECT_THAT(out, testing::ContainsRegex(
                       "\nequal to the reference: [0-9]+ values within 1e-05, the worst is [a-z_.0-9]+ with "));
  EXPECT_EQ(verify("gpt2_tied", reference, "--json"), 0);
  EXPECT_TRUE(nlohmann::json::parse(out)["equal"].get<bool>());
  EXPECT_EQ(verify("gpt2_tied", reference, "--tolerance 0 --json"), 1);
  EXPECT_FALSE(nlohmann::json::parse(out)["equal"].get<bool>());
  EXPECT_EQ(verify("gpt2_tied", reference, "--tolerance 0"), 1);
  EXPECT_THAT(out, Not(HasSubstr("equal to the reference")));
  EXPECT_EQ(verify("gpt2_tied", reference, "--quiet"), 0);
  EXPECT_EQ(out + err, "");
}

TEST_F(Verify, AgreesWithTheReferenceOfEveryKindOfModel) {
  for (const std::string name : {"bert_untied", "esm_absolute", "gpt2_tied", "gpt_neo_tied", "gpt_neox_parallel",
                                 "gemma2_capped", "gpt2_headless", "mlp_positions"}) {
    EXPECT_EQ(verify(name, golden(name) + "/reference.safetensors"), 0) << name << ": " << err;
    EXPECT_THAT(out, HasSubstr("block_output")) << name;
    EXPECT_THAT(out, Not(HasSubstr("beyond the tolerance"))) << name;
    EXPECT_EQ(err, "") << name;
  }
  EXPECT_EQ(verify("gpt_neo_tied", golden("gpt_neo_tied") + "/reference.safetensors"), 0);
  EXPECT_THAT(out, HasSubstr("greedy decoding: 50 of 50 tokens are equal"));
}

TEST_F(Verify, NamesTheValueThatDiffersAndEndsWithOne) {
  const std::string reference = changed("gpt2_tied", [](Values& values) { values["mlp_output.1"] *= 1.01; });
  EXPECT_EQ(verify("gpt2_tied", reference), 1);
  EXPECT_THAT(err, HasSubstr("vene: verify: 1 of 42 values differ from the reference, most of all mlp_output.1 with an "
                             "error of 9.9e-03, the tolerance is 1e-05"));
  EXPECT_THAT(out, HasSubstr("layer 1  beyond the tolerance"));
  EXPECT_EQ(verify("gpt2_tied", reference, "--tolerance 0.02"), 0) << err;
  EXPECT_EQ(verify("gpt2_tied", golden("gpt2_tied") + "/reference.safetensors", "--tolerance 0"), 1);
  EXPECT_EQ(verify("gpt2_tied", golden("gpt2_tied") + "/reference.safetensors", "--tolerance -1"), 2);
}

TEST_F(Verify, TellsGreedyTokensThatDiffer) {
  const std::string reference = changed("gpt_neo_tied", [](Values& values) { values["greedy"][0][20] = 1; });
  EXPECT_EQ(verify("gpt_neo_tied", reference), 1);
  EXPECT_THAT(err, HasSubstr("greedy decoding differs from the reference at token 14 of 50"));
}

TEST_F(Verify, PrintsEverySiteAsJson) {
  EXPECT_EQ(verify("gpt_neox_parallel", golden("gpt_neox_parallel") + "/reference.safetensors", "--json"), 0) << err;
  const auto report = nlohmann::json::parse(out);
  EXPECT_EQ(report.at("architecture"), "gpt_neox");
  EXPECT_EQ(report.at("dtype"), "Float");
  for (const char* site : {"embedding", "query_output.0", "attention_scores.1", "attention_pattern.1", "block_output.1",
                           "final_norm", "logits"}) {
    EXPECT_LE(report.at("errors").at(site).get<double>(), 1e-5) << site;
  }
  EXPECT_EQ(report.at("greedy").at("equal"), 50);
}

TEST_F(Verify, PrintsALineForEverySite) {
  const std::string reference = changed("gpt2_tied", [](Values& values) { values["mlp_output.1"] *= 1.01; });
  EXPECT_EQ(verify("gpt2_tied", reference, "--sites"), 1);
  EXPECT_THAT(out, HasSubstr("\nblock_output.0 "));
  EXPECT_THAT(out, HasSubstr("\nblock_output.2 "));
  EXPECT_THAT(out, testing::ContainsRegex("mlp_output.1 +9.9e-03  beyond the tolerance"));
  EXPECT_EQ(verify("gpt2_tied", reference, "--sites --json"), 2);
}

TEST_F(Verify, TellsWhereTheErrorsIncludeTheRoundingOfTheWeights) {
  const std::string own = golden("gpt2_tied") + "/reference.safetensors";
  EXPECT_EQ(verify("gpt2_tied", own, "--tolerance 1"), 0);
  EXPECT_EQ(err, "");
  EXPECT_EQ(verify("gpt2_tied", own, "--tolerance 1 --dtype bfloat16"), 0);
  EXPECT_THAT(err, HasSubstr("vene: the reference has the weights as they are, so the errors include their rounding to "
                             "bfloat16; --round bfloat16"));
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1);
  const auto file = vene::io::Safetensors::open(own);
  Values values;
  for (const auto& info : file.tensors()) values[info.name] = file.tensor(info.name).clone();
  const std::string rounded = folder / "rounded.safetensors";
  vene::io::write_safetensors(rounded, {values.begin(), values.end()},
                              {{"weights_rounded_to", "bfloat16"}, {"weights_fit", "bfloat16"}});
  EXPECT_EQ(verify("gpt2_tied", rounded, "--tolerance 1 --dtype bfloat16"), 0);
  EXPECT_EQ(err, "");
  for (const std::string other : {"float32", "float16"}) {
    EXPECT_EQ(verify("gpt2_tied", rounded, "--tolerance 1 --dtype " + other), 0);
    EXPECT_THAT(err, HasSubstr("vene: the reference has weights rounded to bfloat16, so the errors include that "
                               "rounding; give --dtype bfloat16"));
  }
}

TEST_F(Verify, AllowsHalfTypesWhatTheirRoundingTakes) {
  // Single sites of these sharp little models may be off by more than two percent in bfloat16.
  EXPECT_EQ(verify("qwen2_plain", golden("qwen2_plain") + "/reference.safetensors", "--dtype float16"), 0) << err;
  EXPECT_EQ(verify("qwen2_plain", golden("qwen2_plain") + "/reference.safetensors", "--dtype float16 --tolerance 1e-5"),
            1);
}

TEST_F(Verify, SaysWhatIsWrongWithAReference) {
  EXPECT_EQ(verify("gpt2_tied", changed("gpt2_tied", [](Values& values) { values.erase("input_ids"); })), 1);
  EXPECT_THAT(err, HasSubstr("expected reference activations with input_ids or inputs_embeds"));
  EXPECT_EQ(
      verify("gpt2_tied",
             changed("gpt2_tied", [](Values& values) { values["blok_output.1"] = values["block_output.1"].clone(); })),
      1);
  EXPECT_THAT(
      err,
      HasSubstr("the reference has 'blok_output.1', and this model has no such site; did you mean 'block_output.1'"));
  EXPECT_EQ(verify("gpt2_tied", changed("gpt2_tied",
                                        [](Values& values) {
                                          values["block_output.1"] = torch::zeros({3, 6, 8});
                                        })),
            1);
  EXPECT_THAT(err, HasSubstr("verify: block_output.1 is [3, 6, 16] here and [3, 6, 8] in the reference"));
  EXPECT_EQ(verify("gpt2_tied", changed("gpt2_tied",
                                        [](Values& values) {
                                          values = {{"input_ids", values["input_ids"].clone()}};
                                        })),
            1);
  EXPECT_THAT(err, HasSubstr("there is no value to compare with"));
  EXPECT_EQ(verify("gpt2_tied", "nowhere.safetensors"), 1);
  EXPECT_EQ(shell(std::string(vene_test::kBinaryFolder) + "/bin/vene verify -m " + golden("gpt2_tied")), 2);
  EXPECT_THAT(err, HasSubstr("--reference is required"));
}

TEST_F(Verify, AgreesWithTheFileThatTheScriptMakes) {
  const char* python = std::getenv("VENE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "VENE_PYTHON names no Python that has transformers";
  for (const std::string name : {"bert_untied", "esm_rotary", "esm_absolute", "gpt2_tied", "gpt_neo_tied",
                                 "gpt_neox_headless", "gemma2_capped"}) {
    const std::string reference = folder / "acts.safetensors";
    ASSERT_EQ(shell(std::string(python) + " " + vene_test::kSourceFolder + "/scripts/reference_activations.py " +
                    golden(name) + " -o " + reference),
              0)
        << err;
    EXPECT_EQ(verify(name, reference), 0) << name << ": " << err;
    EXPECT_THAT(out, HasSubstr("block_output"));
    if (name != "gpt2_tied") continue;
    for (const std::string type : {"bfloat16", "float16"}) {
      const std::string more = " --round " + type;
      ASSERT_EQ(shell(std::string(python) + " " + vene_test::kSourceFolder + "/scripts/reference_activations.py " +
                      golden(name) + " -o " + reference + more),
                0)
          << err;
      EXPECT_EQ(verify(name, reference, "--tolerance 0.05 --dtype " + type), 0) << name << ": " << err;
      EXPECT_EQ(err, "");
    }
  }
}

TEST_F(Verify, TheScriptSaysInOneLineWhatIsWrong) {
  const char* python = std::getenv("VENE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "VENE_PYTHON names no Python that has transformers";
  const auto says = [&](const std::string& arguments, const std::string& what) {
    EXPECT_EQ(shell(std::string(python) + " " + vene_test::kSourceFolder + "/scripts/reference_activations.py " +
                    arguments + " -o " + (folder / "acts.safetensors")),
              1);
    EXPECT_THAT(err, HasSubstr(what));
    EXPECT_THAT(err, Not(HasSubstr("Traceback")));
  };
  says(golden("gpt2_tied") + " --ids 1,2,x", "--ids: expected token ids from 0 to 59, joined by commas, got 'x'");
  says(golden("gpt2_tied") + " --ids 1,60", "got '60'");
  says("nowhere", "nowhere: expected a Hugging Face checkpoint folder, there is no config.json");
}

}  // namespace

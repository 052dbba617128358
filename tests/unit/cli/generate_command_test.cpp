// SPDX-License-Identifier: Apache-2.0
// `vene generate`, `vene steer-vector`, and `vene run` of experiments that generate, as a user calls them.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "tests/test_folder.h"
#include "vene/io/files.h"
#include "vene/vene.h"

namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
namespace fs = std::filesystem;

const std::string kModel = std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2";
const std::string kPrompt = "The Space Needle is in downtown";

struct Ran {
  int status;
  std::string out, complaint;
};

class GenerateCommand : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text) const { return folder_.write(name, text); }
  Ran vene(const std::string& arguments) const {
    const std::string command =
        std::string(vene_test::kBinaryFolder) + "/bin/vene " + arguments + " 2>" + path("stderr");
    FILE* pipe = popen(command.c_str(), "r");
    Ran ran{0, {}, {}};
    char buffer[4096];
    while (const std::size_t count = fread(buffer, 1, sizeof buffer, pipe)) ran.out.append(buffer, count);
    ran.status = WEXITSTATUS(pclose(pipe));
    ran.complaint = vene::io::read_file(path("stderr"));
    return ran;
  }
  Ran generate(const std::string& arguments) const {
    return vene("generate -m " + kModel + " -p '" + kPrompt + "' " + arguments);
  }

  vene_test::TestFolder folder_;
};

std::string continued(const std::string& prompt, std::int64_t tokens) {
  const auto lm = vene::models::load(kModel);
  return vene::generate(*lm.model, lm.encode(prompt), {.max_new_tokens = tokens}, lm.tokenizer.get()).rows[0].text;
}

TEST_F(GenerateCommand, ContinuesAPrompt) {
  const Ran ran = generate("-n 8");
  EXPECT_EQ(ran.status, 0) << ran.complaint;
  EXPECT_EQ(ran.out, kPrompt + continued(kPrompt, 8) + "\n");
  EXPECT_THAT(ran.out, HasSubstr("Seattle"));
  EXPECT_EQ(generate("-n 8 --no-display-prompt").out, continued(kPrompt, 8) + "\n");
  EXPECT_EQ(vene("generate -m " + kModel + " -f " + write("prompt.txt", kPrompt) + " -n 8").out, ran.out);
  EXPECT_EQ(vene("generate -m " + kModel + " -f " + write("prompt.txt", kPrompt + "\n") + " -n 8").out, ran.out);
  EXPECT_EQ(vene("generate -m " + kModel + " -f - -n 8 <" + path("prompt.txt")).out, ran.out);
}

TEST_F(GenerateCommand, PrintsNothingWhereItRefuses) {
  for (const std::string arguments : {"--temp 1 --top-p 0", "-n 500", "--steer-token ' Rome:x'"}) {
    const Ran ran = generate(arguments);
    EXPECT_EQ(ran.status, 1) << arguments;
    EXPECT_EQ(ran.out, "") << arguments;
  }
}

TEST_F(GenerateCommand, MakesWhatTheContextHasRoomFor) {
  std::string prompt = kPrompt;
  for (int i = 0; i < 14; ++i) prompt += ", " + kPrompt;
  const std::size_t length = vene::models::load(kModel).tokenizer->encode(prompt).size();
  ASSERT_TRUE(length > 70 && length < 128) << length;
  const std::string experiment = write(
      "generate.json", R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"ignore_eos": true}})");
  const std::string long_prompt = "generate -m " + kModel + " -f " + write("long.txt", prompt),
                    intervened = long_prompt + " --config " + experiment;
  for (const std::string& command : {long_prompt, intervened}) {
    const Ran ran = vene(command);
    EXPECT_EQ(ran.status, 0) << ran.complaint;
    EXPECT_THAT(vene(command + " -n 64").complaint,
                HasSubstr("do not fit the model's 128 positions; at most " + std::to_string(129 - length) + " do"));
  }
}

TEST_F(GenerateCommand, DrawsTheSameFromTheSameSeed) {
  const std::string drawn = generate("-n 20 --temp 1.2 --top-k 40 --top-p 0.95 -s 5").out;
  EXPECT_EQ(generate("-n 20 --temp 1.2 --top-k 40 --top-p 0.95 -s 5").out, drawn);
  EXPECT_NE(generate("-n 20 --temp 1.2 --top-k 40 --top-p 0.95 -s 6").out, drawn);
  EXPECT_EQ(generate("-n 20 --temp 1.2 --top-k 1").out, generate("-n 20").out);
  const std::string warm = write(
      "warm.json",
      R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"temperature": 1.2, "max_new_tokens": 4}})");
  EXPECT_EQ(generate("-s 5 --config " + warm).status, 0);
}

TEST_F(GenerateCommand, SeveralPromptsMakeABatch) {
  const Ran ran = vene("generate -m " + kModel + " -p '" + kPrompt + "' -p 'The Colosseum is in' -n 6");
  EXPECT_EQ(ran.out,
            kPrompt + continued(kPrompt, 6) + "\nThe Colosseum is in" + continued("The Colosseum is in", 6) + "\n");
}

TEST_F(GenerateCommand, ComparesSideBySideWhatAnExperimentChanges) {
  const std::string experiment =
      write("e.json", R"({"config": [{"layer": 1, "component": "block_output", "intervention_type": "vanilla"}],
    "base": {"text": "The Space Needle is in downtown"}, "sources": [{"text": "The Colosseum is in downtown"}], "unit_locations": {"sources->base": "last"},
    "generate": {"max_new_tokens": 4}})");
  const std::string swap = write("swap.json", R"({"config": [{"layer": 4, "component": "block_output"}],
    "base": {"text": "The Space Needle is in downtown"}, "sources": [{"text": "The Colosseum is in downtown"}], "unit_locations": {"sources->base": "last"},
    "generate": {"max_new_tokens": 4}})");
  const Ran ran = vene("generate -m " + kModel + " --config " + swap + " --compare");
  EXPECT_EQ(ran.status, 0) << ran.complaint;
  EXPECT_THAT(ran.out, HasSubstr("base "));
  EXPECT_THAT(ran.out, HasSubstr("| intervened"));
  EXPECT_THAT(ran.out, HasSubstr("Seattle"));
  EXPECT_THAT(ran.out, HasSubstr("Rome"));
  const json texts = json::parse(vene("generate -m " + kModel + " --config " + swap + " --compare --json").out);
  EXPECT_THAT(texts["original"][0].get<std::string>(), StartsWith(" Seattle"));
  EXPECT_THAT(texts["intervened"][0].get<std::string>(), StartsWith(" Rome"));
  EXPECT_EQ(texts["prompts"][0], kPrompt);
  EXPECT_EQ(vene("generate -m " + kModel + " --config " + experiment).status, 0);
}

TEST_F(GenerateCommand, MakesAControlVectorAndSteersWithIt) {
  const std::string positive =
      write("positive.txt", "The Colosseum is in downtown\nThe Colosseum is in\nThe Colosseum is\n");
  const std::string negative =
      write("negative.txt", "The Space Needle is in downtown\nThe Space Needle is in\nThe Space Needle is\n");
  for (const std::string method : {"mean", "pca"}) {
    const Ran made = vene("steer-vector -m " + kModel + " --positive " + positive + " --negative " + negative + " -o " +
                          path("v.gguf") + " --method " + method);
    EXPECT_EQ(made.status, 0) << made.complaint;
    EXPECT_EQ(made.out, path("v.gguf") + ": layers 1 to 5\n");
    const vene::io::ControlVector vector = vene::io::read_control_vector(path("v.gguf"));
    EXPECT_EQ(vector.model_hint, "gpt2");
    EXPECT_EQ(vector.directions.size(), 5U);
    if (method == "pca") {
      EXPECT_NEAR(vector.directions.at(3).norm().item<double>(), 1, 1e-5);
    }
  }
  vene("steer-vector -m " + kModel + " --positive " + positive + " --negative " + negative + " -o " + path("v.gguf"));
  EXPECT_THAT(generate("-n 4 --steer " + path("v.gguf")).out, HasSubstr("Rome"));
  EXPECT_THAT(generate("-n 4 --steer " + path("v.gguf") + ":2@4").out, HasSubstr("Rome"));
  EXPECT_EQ(generate("-n 4 --steer " + path("v.gguf") + ":0").out, generate("-n 4").out);
  EXPECT_NE(generate("-n 8 --steer-token ' Paris:3' --component mlp_output --when decode").out, generate("-n 8").out);
}

TEST_F(GenerateCommand, SteersBesideTheInterventionsOfAConfig) {
  const std::string experiment = write("swap.json", R"({"config": [{"layer": 4, "component": "block_output"}],
    "base": {"text": "The Space Needle is in downtown"}, "sources": [{"text": "The Colosseum is in downtown"}],
    "unit_locations": {"sources->base": "last"}, "generate": {"max_new_tokens": 8}})");
  const auto text = [&](const std::string& arguments) {
    const Ran ran = vene("generate -m " + kModel + " --json " + arguments);
    EXPECT_EQ(ran.status, 0) << ran.complaint;
    return json::parse(ran.out)["intervened"][0].get<std::string>();
  };
  const std::string swap = "--config " + experiment, steer = " --steer-token ' Paris:3' --component mlp_output";
  EXPECT_EQ(text(swap + " --steer-token ' Paris:0'"), text(swap));
  EXPECT_NE(text(swap + steer), text(swap));
  EXPECT_NE(text(swap + steer), text("-n 8 -p 'The Space Needle is in downtown'" + steer));
}

TEST_F(GenerateCommand, SteersOnceWhereAComponentIsOnePlace) {
  const auto lm = vene::models::load(kModel);
  const torch::Tensor rome =
      lm.model->token_embedding().index_select(0, torch::tensor(lm.tokenizer->encode(" Rome", false))).mean(0);
  vene::io::write_safetensors(path("rome.safetensors"), {{"rome", rome}});
  vene::io::write_control_vector(path("several.gguf"), {"gpt2", {{1, rome}, {2, rome}}});
  for (const std::string place : {"embedding", "final_norm", "transformer.h.2.mlp.output"}) {
    vene::IntervenableConfig config;
    vene::add_steering(config, *lm.model, rome, {.scale = 0.5, .component = place});
    ASSERT_EQ(config.representations.size(), 1U) << place;
    vene::IntervenableModel steered(config, lm.model);
    const auto expected =
        steered->generate({.base = lm.encode(kPrompt), .tokenizer = lm.tokenizer.get()}, {.max_new_tokens = 8})
            .intervened.rows[0]
            .text;
    const std::string at = " -n 8 --no-display-prompt --component " + place;
    const Ran ran = generate("--steer-token ' Rome:0.5'" + at);
    EXPECT_EQ(ran.out, expected + "\n") << place << ran.complaint;
    EXPECT_EQ(generate("--steer " + path("rome.safetensors") + ":0.5" + at).out, ran.out) << place;
    EXPECT_THAT(generate("--steer-token ' Rome:0.5@4'" + at).complaint,
                HasSubstr("is one place, so layers cannot be chosen"))
        << place;
    EXPECT_THAT(generate("--steer " + path("several.gguf") + at).complaint,
                HasSubstr("is one place, and the vector has directions for 2 layers; expected a lone direction"))
        << place;
  }
}

TEST_F(GenerateCommand, TheCommandLineSaysWhenAlsoOverARepresentationAndASavedFolder) {
  const std::string intervention = R"({"layer": 4, "intervention_type": "zero")";
  const std::string base =
      R"("base": {"text": "The Space Needle is in downtown"}, "generate": {"max_new_tokens": 8, "ignore_eos": true})";
  const std::string own =
      write("own.json", R"({"config": [)" + intervention + R"(, "when": "prompt"}], )" + base + "}");
  const std::string none = write("none.json", R"({"config": [)" + intervention + "}], " + base + "}");
  const std::string command = "generate -m " + kModel + " --no-display-prompt --config ";
  const std::string decoded = vene(command + none + " --when decode").out;
  EXPECT_NE(vene(command + own).out, decoded);
  EXPECT_EQ(vene(command + own + " --when decode").out, decoded);
  const auto lm = vene::models::load(kModel);
  vene::IntervenableModel(vene::IntervenableConfig::parse("[" + intervention + R"(, "when": "prompt"}])"), lm.model)
      ->save(path("saved"));
  EXPECT_EQ(generate("--no-display-prompt -n 8 --ignore-eos --when decode --config " + path("saved")).out, decoded);
}

TEST_F(GenerateCommand, SteersARecurrentModelAtEveryStep) {
  const std::string gru =
      std::string("generate -m ") + vene_test::kSourceFolder + "/assets/landmarks-gru -p '" + kPrompt + "' -n 6";
  EXPECT_THAT(vene(gru).out, HasSubstr("Seattle"));
  const Ran steered = vene(gru + " --steer-token ' Rome:2' --component cell_output");
  EXPECT_EQ(steered.status, 0) << steered.complaint;
  EXPECT_THAT(steered.out, HasSubstr(" Rome Rome"));
}

TEST_F(GenerateCommand, RunWritesIdsAndTexts) {
  const std::string experiment = write("swap.json", R"({"config": [{"layer": 4, "component": "block_output"}],
    "base": {"text": ["The Space Needle is in downtown", "The Louvre"]}, "sources": [{"text": "The Colosseum is in downtown"}],
    "unit_locations": {"sources->base": "last"}, "generate": {"max_new_tokens": 5, "ignore_eos": true, "when": "both"}})");
  const Ran ran = vene("run -m " + kModel + " " + experiment + " -o " + path("out"));
  EXPECT_EQ(ran.status, 0) << ran.complaint;
  const auto file = vene::io::Safetensors::open(path("out/swap.safetensors"));
  const auto lm = vene::models::load(kModel);
  const std::vector<std::int64_t> prompt = lm.tokenizer->encode(kPrompt), shorter = lm.tokenizer->encode("The Louvre");
  ASSERT_LT(shorter.size(), prompt.size());
  for (const std::string name : {"original.ids", "intervened.ids"}) {
    const torch::Tensor ids = file.tensor(name);
    EXPECT_EQ(ids.scalar_type(), torch::kInt64);
    ASSERT_EQ(ids.sizes(), (std::vector<std::int64_t>{2, static_cast<std::int64_t>(prompt.size()) + 5}));
    EXPECT_EQ(ids[0][0].item<std::int64_t>(), prompt[0]);
    EXPECT_EQ(ids[1][0].item<std::int64_t>(), shorter[0]);
    EXPECT_GE(ids[0].min().item<std::int64_t>(), 0);
    EXPECT_EQ(ids[1][static_cast<std::int64_t>(shorter.size()) + 5].item<std::int64_t>(), -1);
  }
  const json texts = json::parse(vene::io::read_file(path("out/swap.json")));
  EXPECT_THAT(texts["original"][0].get<std::string>(), StartsWith(" Seattle"));
  EXPECT_THAT(texts["intervened"][0].get<std::string>(), Not(StartsWith(" Seattle")));
  EXPECT_EQ(texts["prompts"][1], "The Louvre");
}

TEST_F(GenerateCommand, EndsWhereTheCheckpointSays) {
  const fs::path model = path("model");
  fs::copy(kModel, model);
  const auto lm = vene::models::load(kModel);
  const auto row = vene::generate(*lm.model, lm.encode(kPrompt), {.max_new_tokens = 8}, lm.tokenizer.get()).rows[0];
  const std::int64_t third = row.ids[static_cast<std::size_t>(row.prompt_length) + 2];
  const auto ran = [&](const std::string& arguments) {
    return vene("generate -m " + model.string() + " -p '" + kPrompt + "' --no-display-prompt -n 8 " + arguments).out;
  };
  const std::string whole = ran(""), ended = continued(kPrompt, 3) + "\n";
  ASSERT_NE(whole, ended);
  write("model/generation_config.json", R"({"eos_token_id": [2047, )" + std::to_string(third) + "]}");
  EXPECT_EQ(ran(""), ended);
  EXPECT_EQ(ran("--ignore-eos"), whole);
  // The same token, made a special one: its text is in no output, and it can be named.
  write("model/generation_config.json", "{}");
  std::string spelled = lm.tokenizer->token_text(third);
  if (spelled.starts_with(' ')) spelled = "\xC4\xA0" + spelled.substr(1);
  ASSERT_EQ(lm.tokenizer->id_of(spelled), third);
  write("model/tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>",
      "additional_special_tokens": [")" + spelled +
                                           "\"]}");
  EXPECT_EQ(ran("--stop '" + spelled + "'"), continued(kPrompt, 2) + "\n");
}

TEST_F(GenerateCommand, DrawsAsTheFolderSaysWhereAsked) {
  const fs::path model = path("model");
  fs::copy(kModel, model);
  const auto ran = [&](const std::string& arguments) {
    return vene("generate -m " + model.string() + " -p '" + kPrompt + "' -n 12 " + arguments);
  };
  const std::string greedy = ran("").out;
  write("model/generation_config.json", R"({"do_sample": true, "temperature": 50.0, "top_k": 0, "top_p": 1.0})");
  EXPECT_EQ(ran("").out, greedy);
  EXPECT_NE(ran("--use-generation-config").out, greedy);
  EXPECT_EQ(ran("--use-generation-config --top-k 1").out, greedy);
  write("model/generation_config.json", R"({"do_sample": true, "temperature": "hot"})");
  EXPECT_THAT(ran("--use-generation-config").complaint, HasSubstr("'temperature': expected a number, got \"hot\""));
}

TEST_F(GenerateCommand, ReadsPromptsWithCrlf) {
  EXPECT_EQ(vene("generate -m " + kModel + " -n 4 -f " + write("crlf.txt", "The Space\r\nNeedle\r\n")).out,
            vene("generate -m " + kModel + " -n 4 -f " + write("lf.txt", "The Space\nNeedle\n")).out);
}

TEST_F(GenerateCommand, SaysWhatIsWrong) {
  const auto says = [&](const std::string& arguments, const std::string& what, int status = 1) {
    const Ran ran = generate(arguments);
    EXPECT_EQ(ran.status, status) << arguments;
    EXPECT_THAT(ran.complaint, HasSubstr(what)) << arguments;
  };
  says("-n 500", "do not fit the model's 128 positions");
  const std::string names = "The Space Needle is in downtown, the Space Needle is in downtown, ";
  const std::string longer =
      write("longer.txt", names + names + names + names + names + names + names + names + names + names);
  EXPECT_THAT(vene("generate -m " + kModel + " -f " + longer).complaint,
              testing::ContainsRegex("generate: a prompt of [0-9]+ tokens does not fit the model's 128 positions"));
  for (const std::string option : {"--top-k 5", "--top-p 0.5", "--seed 1"}) {
    says(option, option.substr(0, option.find(' ')) + ": nothing is drawn at temperature 0, the default; give --temp");
  }
  says("-s -1 --temp 1", "expected an integer of at least 0, got '-1'", 2);
  says("--when decode", "--when: there is no intervention");
  says("--component mlp_output", "--component: there is nothing to add to it");
  for (const std::string text : {" Rome:abc", " Rome:4@3-1", " Rome:1e400", " Rome@x"}) {
    says("--steer-token '" + text + "'", "of '" + text + "' is no scale or layers; expected TEXT[:scale][@layers]");
  }
  EXPECT_EQ(generate("-n 4 --steer-token ' it: a@b:0'").out, generate("-n 4").out);
  says("--config " + write("cut.json", "{\"config\": [\n {\"layer\" 1}]}"), "cut.json: not JSON: line 2, column ");
  says("--config " +
           write("stop.json",
                 R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"stop_tokens": [1, 2048]}})"),
       "generate.stop_tokens: 2048 is outside the vocabulary of 2048");
  says("--config " +
           write("same.json",
                 R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"source_steps": "same"}})"),
       "generate.source_steps: \"same\" is for a source that generates too, and the experiment has none");
  says("--when sometime --steer-token a", "--when: unknown time 'sometime'");
  says("--compare", "--compare: there is nothing to compare with");
  says("--steer v.bin", "--steer: expected a .gguf or .safetensors file");
  says("--steer-token ' Rome@9'", "steering: the vector has no direction for layer 9");
  says("--config " + write("bad.json", R"({"config": [], "generate": {}})"), "representations");
  says("--config " + write("bad2.json",
                           R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"max_tokens": 3}})"),
       "generate: unknown key 'max_tokens'; known: max_new_tokens");
  says("--config " +
           write("bad3.json", R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"top_p": 2}})"),
       "generate.top_p: expected more than 0, at most 1");
  says(
      "--config " +
          write(
              "bad4.json",
              R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"when": "prompt", "intervene_on_prompt": true}})"),
      "two ways to say one thing");
  says(
      "--config " +
          write(
              "bad5.json",
              R"({"config": [{"layer": 1, "intervention_type": "zero"}], "generate": {"when": {"steps": [99]}, "max_new_tokens": 3}})"),
      "it never acted: it acts in steps 99");
  EXPECT_EQ(vene("generate -m " + kModel).status, 1);
  EXPECT_EQ(vene("generate -p x").status, 2);
  EXPECT_THAT(vene("generate -h").out, HasSubstr("Example: vene generate -m assets/landmarks-gpt2"));
  const Ran pairs = vene("steer-vector -m " + kModel + " --positive " + write("a.txt", "one\ntwo\n") + " --negative " +
                         write("b.txt", "one\n") + " -o " + path("v.gguf") + " --method pca");
  EXPECT_EQ(pairs.status, 1);
  EXPECT_THAT(pairs.complaint, HasSubstr("pca takes pairs, at least two, and got 2 positive and 1 negative texts"));
  for (const std::string method : {"mean", "pca"}) {
    const Ran alike = vene("steer-vector -m " + kModel + " --positive " + path("a.txt") + " --negative " +
                           path("a.txt") + " -o " + path("alike.gguf") + " --method " + method);
    EXPECT_EQ(alike.status, 1);
    EXPECT_THAT(alike.complaint, HasSubstr("the positive and the negative texts do not differ at layer 1"));
    EXPECT_FALSE(fs::exists(path("alike.gguf")));
  }
}

}  // namespace

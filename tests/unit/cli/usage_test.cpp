// SPDX-License-Identifier: Apache-2.0
// The command as a newcomer meets it: help, versions, options, exit statuses, which stream gets what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "unit/cli/child.h"
#include "vene/base/version.h"

namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;
namespace fs = std::filesystem;

const std::vector<std::string> kCommands{"info",   "sites",   "schema",  "tokenize", "run",        "trace",
                                         "patch",  "ablate",  "train",   "locate",   "generate",   "steer-vector",
                                         "verify", "inspect", "push",    "pull",     "completion", "man",
                                         "help",   "version", "collect", "sweep"};
const std::string kExample = "Example: ";

// The lines of a help text that begin with "Example: ", without that.
std::vector<std::string> examples_in(const std::string& help) {
  std::vector<std::string> examples;
  for (const std::string& line : vene_test::lines_of(help)) {
    if (line.starts_with(kExample)) examples.push_back(line.substr(kExample.size()));
  }
  return examples;
}

// One line on stderr, nothing on stdout.
void expect_refused(const Outcome& outcome, int status, const std::string& what) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("vene: "));
  EXPECT_THAT(outcome.err, HasSubstr(what));
}

TEST(Usage, EveryCommandHasHelpOnStandardOutputWithAnExampleThatRuns) {
  const TestFolder folder;
  for (const char* linked : {"assets", "examples", "tests"})
    fs::create_directory_symlink(vene_test::source_path(linked), folder / linked);
  std::vector<std::string> examples;
  for (const std::string& command : kCommands) {
    const Outcome help = vene_command({command, "-h"});
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.err, IsEmpty());
    EXPECT_EQ(help.out, vene_command({command, "--help"}).out);
    const auto found = examples_in(help.out);
    ASSERT_THAT(found, testing::SizeIs(1)) << help.out;
    EXPECT_THAT(found[0] + " ", StartsWith("vene " + command + " "));
    if (command != "push" && command != "pull") examples.push_back(found[0]);  // those speak with a hub: hub_test.cpp
  }
  const Outcome whole = vene_command({"-h"});
  for (const std::string& command : kCommands) EXPECT_THAT(whole.out, HasSubstr("  " + command + " "));
  for (const std::string& example : examples) {
    const Outcome outcome = vene_test::shell(example, {.folder = folder.path()});
    EXPECT_EQ(outcome.status, 0) << example << "\n" << outcome.err;
    EXPECT_THAT(outcome.err, IsEmpty()) << example;
  }
  for (const char* made : {"config.schema.json", "results/interchange.safetensors", "out/trace.csv", "out/trace.json"})
    EXPECT_TRUE(fs::exists(folder / made)) << made;
}

TEST(Usage, VersionNamesLibTorchCudaAndTheStringAbi) {
  const Outcome outcome = vene_command({"--version"});
  const vene::BuildInfo build = vene::build_info();
  EXPECT_EQ(outcome.status, 0);
  for (const char* spelling : {"-V", "version"}) EXPECT_EQ(vene_command({spelling}).out, outcome.out) << spelling;
  EXPECT_EQ(outcome.out, "vene " + build.version + "\nLibTorch " + build.libtorch_version + ", CUDA " + build.cuda +
                             (build.cuda_linked ? " (linked)" : " (not linked)") + ", C++11 ABI " +
                             (build.cxx11_abi ? "1" : "0") + "\n");
}

TEST(Usage, HelpExplainsACommandAsItsOwnOptionDoes) {
  EXPECT_EQ(vene_command({"help"}).out, vene_command({"-h"}).out);
  for (const std::string& command : kCommands)
    EXPECT_EQ(vene_command({"help", command}).out, vene_command({command, "-h"}).out) << command;
  expect_refused(vene_command({"help", "trce"}), 2, "unknown command 'trce'; did you mean 'trace'? (see vene -h)");
}

TEST(Usage, ErrorsAreJsonWhereJsonIsAskedFor) {
  const auto error = [](const std::vector<std::string>& arguments, int status) {
    const Outcome outcome = vene_command(arguments);
    EXPECT_EQ(outcome.status, status);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
    return nlohmann::json::parse(outcome.err)["error"];
  };
  const auto missing = error({"info", "/nowhere", "--json"}, 1);
  EXPECT_EQ(missing["class"], "IoError");
  EXPECT_EQ(missing["message"], "/nowhere: no such folder");
  EXPECT_EQ(error({"sites", bundled_model(), "--device", "cuda:99", "--json"}, 1)["class"], "ModelError");
  EXPECT_EQ(error({"info", bundled_model(), "--json", "--jsn"}, 2)["class"], "UsageError");
  const TestFolder folder;
  vene_test::write_text(folder / "bad.json",
                        R"({"base": {"text": "The"}, "config": [{"layer": 1, "unti": "pos"}, {"layr": 1}]})");
  const auto several = error({"run", "-m", bundled_model(), folder / "bad.json", "-o", folder / "out", "--json"}, 1);
  EXPECT_EQ(several["class"], "ConfigError");
  EXPECT_THAT(several["message"].get<std::string>(), HasSubstr("\n"));  // a line a problem
}

TEST(Usage, VerboseSaysWhatIsLoadedAndQuietSaysNothing) {
  const TestFolder folder;
  const auto steer = [&](const std::string& option) {
    return vene_command({"steer-vector", "-m", bundled_model(), "--positive", "examples/steering/rome.txt",
                         "--negative", "examples/steering/seattle.txt", "-o", folder / "v.gguf", option});
  };
  const Outcome verbose = steer("--verbose"), quiet = steer("--quiet");
  EXPECT_THAT(verbose.err, HasSubstr("vene: " + bundled_model() + ": loaded in "));
  EXPECT_THAT(verbose.err, HasSubstr("vene: architecture gpt2, 6 layers, float32 on cpu, 1 thread\n"));
  EXPECT_THAT(verbose.out, HasSubstr("layers 1 to 5"));
  EXPECT_EQ(quiet.status, 0);
  EXPECT_THAT(quiet.out, IsEmpty());
  EXPECT_THAT(quiet.err, IsEmpty());
  EXPECT_THAT(vene_command({"tokenize", "-m", bundled_model(), "The", "-q"}).out, HasSubstr("\"The\""));
  EXPECT_EQ(vene_command({"info", bundled_model(), "-q", "-v"}).status, 2);
  // Warnings are notes too.
  const auto trace = [&](const std::string& option) {
    return vene_command({"trace", "-m", bundled_model(), "-p", "The Space Needle is in", "--subject", "Needle",
                         "--samples", "1", "--window", "10", "--no-picture", "-o", folder / "trace", option});
  };
  EXPECT_THAT(trace("--verbose").err, HasSubstr("warning: a window of 10"));
  EXPECT_THAT(trace("--quiet").err, IsEmpty());
}

// What the command starts has its environment.
TEST(Usage, ThreadsWaitAsleepUnlessTheUserSaysOtherwise) {
  const TestFolder folder;
  fs::create_directory(folder / "bin");
  vene_test::write_text(folder / "bin/gnuplot",
                        "#!/bin/sh\necho \"policy $OMP_WAIT_POLICY spin $GOMP_SPINCOUNT\" > \"$0.saw\"\nexit 1\n");
  fs::permissions(folder / "bin/gnuplot", fs::perms::owner_all);
  const auto seen = [&](std::optional<std::string> policy, std::optional<std::string> spin) {
    const Outcome outcome = vene_command(
        {"trace", "-m", bundled_model(), "-p", "The Space Needle is in", "--subject", "Needle", "--samples", "1", "-o",
         folder / "out"},
        {.environment = {{"PATH", folder / "bin"}, {"OMP_WAIT_POLICY", policy}, {"GOMP_SPINCOUNT", spin}}});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return vene_test::read_text(folder / "bin/gnuplot.saw");
  };
  EXPECT_EQ(seen(std::nullopt, std::nullopt), "policy passive spin \n");
  EXPECT_EQ(seen("active", std::nullopt), "policy active spin \n");
  EXPECT_EQ(seen(std::nullopt, "1000"), "policy  spin 1000\n");
}

TEST(Usage, AMissingFolderWithAHubsNameSaysHowToGetIt) {
  expect_refused(vene_command({"info", "openai-community/gpt2"}), 1,
                 "openai-community/gpt2: no such folder; a model of the Hugging Face hub comes into a folder with "
                 "`hf download openai-community/gpt2 --local-dir openai-community/gpt2`");
  for (const char* path : {"/nowhere/gpt2", "./gpt2", "a/b/c", "gpt 2"}) {
    const Outcome outcome = vene_command({"info", path});
    EXPECT_EQ(outcome.err, "vene: " + std::string(path) + ": no such folder\n");
  }
}

TEST(Usage, WrongCommandLinesEndWithTwoAndNameTheNearest) {
  expect_refused(vene_command({}), 2, "see vene -h");
  expect_refused(vene_command({"trce"}), 2, "unknown command 'trce'; did you mean 'trace'?");
  expect_refused(vene_command({"info", bundled_model(), "--jsn"}), 2, "did you mean '--json'? (see vene info -h)");
  expect_refused(vene_command({"info"}), 2, "required");
  expect_refused(vene_command({"run", "-m", bundled_model(), "-o", "out"}), 2, "EXPERIMENT");
  expect_refused(vene_command({"run", "-m", bundled_model(), "x.json"}), 2, "--output");
  expect_refused(vene_command({"trace", "-m", bundled_model(), "-o", "out"}), 2, "--prompt");
  expect_refused(vene_command({"tokenize", "-m", bundled_model()}), 2, "TEXT");
}

TEST(Usage, WrongValuesOfOptionsEndWithTwo) {
  const auto sites = [](const std::string& option, const std::string& value) {
    return vene_command({"sites", bundled_model(), option, value});
  };
  expect_refused(sites("--device", "gpu"), 2, "--device: expected cpu, cuda or cuda:N, got 'gpu'");
  expect_refused(sites("--device", "cuda:"), 2, "got 'cuda:'");
  expect_refused(sites("--device", "cuda:x"), 2, "got 'cuda:x'");
  expect_refused(sites("--dtype", "float31"), 2, "--dtype: unknown dtype 'float31'; did you mean 'float32'");
  expect_refused(sites("--threads", "0"), 2, "--threads");
  expect_refused(sites("--threads", "many"), 2, "--threads");
  const auto trace = [](const std::string& option, const std::string& value) {
    return vene_command({"trace", "-m", bundled_model(), "-p", "The Space Needle is in downtown", "--subject", "Space",
                         "-o", "/nowhere", option, value});
  };
  for (const char* noise : {"loud", "", "0", "-1", "nan", "inf", "1x"})
    expect_refused(trace("--noise", noise), 2,
                   std::string("--noise: expected auto or a positive number, got '") + noise + "'");
  expect_refused(trace("--samples", "0"), 2, "--samples");
  expect_refused(trace("--window", "0"), 2, "--window");
  expect_refused(trace("--seed", "-1"), 2, "--seed");
}

TEST(Usage, ADeviceThatIsNotThereIsOneLine) {
  const Outcome outcome = vene_command({"sites", bundled_model(), "--device", "cuda:99"});
  expect_refused(outcome, 1, "--device cuda:99: this ");
  if (!vene::build_info().cuda_linked) {
    EXPECT_THAT(outcome.err, HasSubstr("this build has no CUDA linked in (configure with -DVENE_CUDA=ON)"));
  }
  EXPECT_EQ(vene_command({"sites", bundled_model(), "--device", "cpu"}).status, 0);
}

TEST(Usage, ModelAndDeviceMayComeFromTheEnvironment) {
  EXPECT_EQ(vene_command({"info"}, {.environment = {{"VENE_MODEL", bundled_model()}}}).status, 0);
  EXPECT_EQ(vene_command({"sites", bundled_model()}, {.environment = {{"VENE_DEVICE", "gpu"}}}).status, 2);
  EXPECT_EQ(vene_command({"sites", bundled_model(), "--threads", "2"}).status, 0);
}

TEST(Usage, JsonOutputsAreJson) {
  const auto json = [](std::vector<std::string> arguments) {
    const Outcome outcome = vene_command(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, IsEmpty());
    return nlohmann::json::parse(outcome.out);
  };
  const auto info = json({"info", bundled_model(), "--json"});
  EXPECT_EQ(info["architecture"], "gpt2");
  EXPECT_EQ(info["parameters"], 1468416);
  EXPECT_EQ(info["dtypes"], nlohmann::json({"float32"}));
  EXPECT_EQ(info["tokenizer"]["tokens"], 2048);
  const auto sites = json({"sites", bundled_model(), "--json"});
  EXPECT_GT(sites.size(), 50U);
  EXPECT_TRUE(std::any_of(sites.begin(), sites.end(), [](const auto& site) {
    return site["component"] == "block_output" && site["layer"] == 5 && site["width"] == 128;
  }));
  EXPECT_TRUE(json({"schema"}).contains("$defs"));
  const auto tokens = json({"tokenize", "-m", bundled_model(), "--json", "The Zo\xC3\xAB"});
  EXPECT_EQ(tokens[0]["text"], "The");
  EXPECT_EQ(tokens.back()["end"], 8);
}

TEST(Usage, InfoAndSitesAreTablesForPeople) {
  const Outcome info = vene_command({"info", bundled_model()});
  EXPECT_THAT(info.out, HasSubstr("parameters     1,468,416 (6 MiB)\n"));
  EXPECT_THAT(info.out, HasSubstr("dtype          float32\n"));
  const Outcome sites = vene_command({"sites", bundled_model()});
  EXPECT_THAT(sites.out, HasSubstr("head_query_output                  3  transformer.h.3.attn.query.output            "
                                   "  [batch, pos, 4 heads, 32]\n"));
}

TEST(Usage, TokenizeGoesBothWays) {
  const Outcome ids = vene_command({"tokenize", "-m", bundled_model(), "--ids", "The Space Needle"});
  EXPECT_EQ(ids.status, 0);
  std::vector<std::string> decode{"tokenize", "-m", bundled_model(), "--decode"};
  std::istringstream numbers(ids.out);
  for (std::string number; numbers >> number;) decode.push_back(number);
  EXPECT_EQ(vene_command(decode).out, "The Space Needle\n");
  const TestFolder folder;
  vene_test::write_text(folder / "text", "The Space Needle");
  EXPECT_EQ(vene_command({"tokenize", "-m", bundled_model(), "--ids", "-f", folder / "text"}).out, ids.out);
  expect_refused(vene_command({"tokenize", "-m", bundled_model(), "--decode", "2048"}), 1,
                 "--decode: id 2048 is out of range, 0 to 2047");
  expect_refused(vene_command({"tokenize", "-m", folder.path(), "x"}), 1, "no tokenizer files here");
}

TEST(Usage, TokenizeTakesSeveralTextsLinesAndAnyBytes) {
  const auto run = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"tokenize", "-m", bundled_model()});
    return vene_command(arguments);
  };
  const std::string one = run({"--ids", "The Space"}).out, two = run({"--ids", "Needle"}).out;
  EXPECT_EQ(run({"--ids", "The Space", "Needle"}).out, one + two);
  const TestFolder folder;
  vene_test::write_text(folder / "lines", "The Space\r\nNeedle\n");
  EXPECT_EQ(run({"--ids", "-f", folder / "lines", "--lines"}).out, one + two);
  expect_refused(run({"--lines", "x"}), 2, "--lines");
  EXPECT_EQ(run({"--ids", "<|endoftext|>"}).out, "2047\n");
  EXPECT_THAT(run({"--ids", "<|endoftext|>", "--special", "as-text"}).out, testing::Not(HasSubstr("2047")));
  expect_refused(run({"x", "--special", "text"}), 2, "--special");
  std::string bytes;
  for (const auto& token : nlohmann::json::parse(run({"--json", "\xF0\x9F\x99\x82"}).out))
    bytes += token["hex"].get<std::string>();
  EXPECT_EQ(bytes, "f09f9982");
  vene_test::write_text(folder / "nul", std::string("a\0b", 3));
  const auto tokens = nlohmann::json::parse(run({"--json", "-f", folder / "nul"}).out);
  EXPECT_EQ(tokens.back()["end"], 3);
  std::vector<std::string> decode{"--decode"};
  for (const auto& token : tokens) decode.push_back(token["id"].dump());
  EXPECT_EQ(run(decode).out, std::string("a\0b\n", 4));
}

TEST(Usage, TokenizeWarnsOfABosThatIsThereTwice) {
  const TestFolder folder;
  vene_test::write_text(folder / "tokenizer_config.json", R"({"bos_token": "<s>"})");
  vene_test::write_text(folder / "tokenizer.json", R"({"pre_tokenizer": {"type": "WhitespaceSplit"},
      "model": {"type": "WordLevel", "vocab": {"?": 0, "<s>": 1, "a": 2}, "unk_token": "?"},
      "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                         "special_tokens": {"<s>": {"ids": [1]}}}})");
  const Outcome doubled = vene_command({"tokenize", "-m", folder.path(), "--ids", "<s> a"});
  EXPECT_EQ(doubled.out, "1 1 2\n");
  EXPECT_THAT(doubled.err, HasSubstr("a text begins with '<s>', which is put in front of it too"));
  EXPECT_EQ(vene_command({"tokenize", "-m", folder.path(), "--ids", "a"}).err, "");
}

TEST(Usage, AFullDiskBehindStandardOutputIsAFailure) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const Outcome outcome = vene_command({"schema"}, {.standard_output = "/dev/full"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.err, "vene: standard output: cannot be written\n");
}

TEST(Usage, AReaderThatLeavesIsNone) {
  // The shell closes the reading end before the command writes.
  const Outcome outcome =
      vene_test::shell("{ sleep 0.5; vene sites " + bundled_model() + "; echo status $? >&2; } | true");
  EXPECT_EQ(outcome.err, "status 0\n");
}

TEST(Usage, PromptsOfPatchAndAblateAreAFileOrOnePairAndHaveWhatTheirKindTakes) {
  const TestFolder folder;
  const auto refused = [&](const std::string& command, std::vector<std::string> options, const std::string& what) {
    options.insert(options.begin(), {command, "-m", bundled_model(), "-o", folder / "out"});
    expect_refused(vene_command(options), 2, what);
    EXPECT_FALSE(fs::exists(folder / "out"));
  };
  refused("patch", {}, "prompts: expected --pairs FILE, or --prompt TEXT");
  refused("patch", {"-p", "a"}, "--corrupt: --prompt needs the prompt that it is compared with");
  refused("ablate", {"-p", "a", "--kind", "resample"}, "--corrupt: --prompt needs the prompt");
  refused("patch", {"--pairs", "x.jsonl", "-p", "a"},
          "--pairs has the prompts and their answers, so --prompt, --corrupt and --answers do not go with it");
  refused("ablate", {"-p", "a", "--kind", "mean"}, "--data: --kind mean needs a file of texts");
  refused("ablate", {"-p", "a", "--kind", "resample", "--resample", "data"},
          "--data: --kind resample --resample data needs a file of texts");
  refused("ablate", {"-p", "a", "--data", "x"}, "--data: only means and --resample data take texts");
  refused("ablate", {"-p", "a", "--resample", "data"},
          "--resample: it says where --kind resample takes its values from");
  refused("patch", {"--pairs", "x.jsonl", "--over", "layer,pos"}, "--over");
}

}  // namespace

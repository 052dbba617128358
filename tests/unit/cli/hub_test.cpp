// SPDX-License-Identifier: Apache-2.0
// vene push and vene pull: with a stand-in for the hub's client, which tells what it was asked for, and with the client
// itself, where it is installed, against a hub on this machine.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "unit/cli/child.h"
#include "unit/cli/saved_folders.h"
#include "vene/models/load.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using vene_test::lines_of;
using vene_test::names_below;
using vene_test::Outcome;
using vene_test::read_text;
using vene_test::Surroundings;
using vene_test::vene_command;
using vene_test::write_text;
namespace fs = std::filesystem;

const std::vector<std::string> kSaved{"config.json", "interventions.safetensors", "model_parts.safetensors"};

class HubTest : public testing::Test {
 protected:
  vene_test::TestFolder folder_;
  std::string saved_ = folder_ / "saved";

  void SetUp() override {
    vene_test::save_interventions(saved_);
    fs::create_directory(folder_ / "temporary");
  }
  // The stand-in writes its arguments, a line each, into `arguments`. It keeps what it is to upload in `uploaded`, and
  // downloads `offered`.
  Surroundings with_stand_in(int status = 0) {
    fs::create_directory(folder_ / "bin");
    write_text(folder_ / "bin/hf", "#!/bin/sh\nprintf '%s\\n' \"$@\" > '" + (folder_ / "arguments") +
                                       "'\necho to the user\nif [ \"$1\" = upload ]; then cp -RL \"$3\" '" +
                                       (folder_ / "uploaded") + "'; else cp -RL '" + (folder_ / "offered") +
                                       "/.' \"${3#--local-dir=}\"; fi\nexit " + std::to_string(status) + "\n");
    fs::permissions(folder_ / "bin/hf", fs::perms::owner_all);
    return {.environment = {{"PATH", (folder_ / "bin") + ":/usr/bin:/bin"}, {"TMPDIR", folder_ / "temporary"}}};
  }
  Surroundings without_client() {
    return {.environment = {{"PATH", folder_ / "nothing"}, {"TMPDIR", folder_ / "temporary"}}};
  }
  std::vector<std::string> arguments() { return lines_of(read_text(folder_ / "arguments")); }
};

void expect_one_line(const Outcome& outcome, const std::string& what) {
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr(what));
}

TEST_F(HubTest, PushHandsTheClientACopyWithACardAndLeavesTheFolderAsItIs) {
  fs::create_directories(saved_ + "/.vene-abcdef");
  write_text(saved_ + "/.hidden", "x");
  const std::vector<std::string> before = names_below(saved_);
  const Outcome outcome = vene_command({"push", saved_, "me/a.b-c_1"}, with_stand_in());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "me/a.b-c_1: 4 files from " + saved_ + "\n");
  EXPECT_EQ(outcome.err, "to the user\n");
  const std::vector<std::string> given = arguments();
  ASSERT_EQ(given.size(), 5U);
  EXPECT_EQ(given[0], "upload");
  EXPECT_EQ(given[1], "me/a.b-c_1");
  EXPECT_THAT(given[2], StartsWith(folder_ / "temporary/.vene-"));
  EXPECT_EQ(given[3], ".");
  EXPECT_THAT(given[4], StartsWith("--commit-message=Interventions of vene "));
  EXPECT_THAT(names_below(folder_ / "uploaded"), ElementsAre("README.md", kSaved[0], kSaved[1], kSaved[2]));
  for (const std::string& name : kSaved)
    EXPECT_EQ(read_text(folder_ / "uploaded/" + name), read_text(saved_ + "/" + name));
  EXPECT_EQ(names_below(saved_), before);
  EXPECT_THAT(names_below(folder_ / "temporary"), IsEmpty());
}

TEST_F(HubTest, WhatIsGivenReachesTheClientAsItIs) {
  const std::string message = "--x $(touch spoilt); 'a  b' \"c\"";
  const Outcome outcome =
      vene_command({"push", saved_, "me/das", "--private", "--message=" + message}, with_stand_in());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<std::string> given = arguments();
  ASSERT_EQ(given.size(), 6U);
  EXPECT_EQ(given[4], "--commit-message=" + message);
  EXPECT_EQ(given[5], "--private");
  fs::create_directory(folder_ / "offered");
  vene_test::save_interventions(folder_ / "offered");
  EXPECT_EQ(vene_command({"pull", "me/das", folder_ / "out", "--revision=-v1;x"}, with_stand_in()).status, 0);
  ASSERT_EQ(arguments().size(), 4U);
  EXPECT_EQ(arguments()[0], "download");
  EXPECT_EQ(arguments()[1], "me/das");
  EXPECT_THAT(arguments()[2], StartsWith("--local-dir=" + (folder_ / ".vene-")));
  EXPECT_EQ(arguments()[3], "--revision=-v1;x");
}

TEST_F(HubTest, TheCardTellsWhatIsInsideAndHowToLoadIt) {
  write_text(saved_ + "/log.csv", "step,loss,accuracy\n0,2.5,0.1\n1,1.25,0.75\n");
  ASSERT_EQ(vene_command({"push", saved_, "me/das", "--base-model", "them/toy"}, with_stand_in()).status, 0);
  const std::string card = read_text(folder_ / "uploaded/README.md");
  EXPECT_THAT(card, StartsWith("---\nlibrary_name: vene\nbase_model: \"them/toy\"\ntags:\n- vene\n- interventions\n- "
                               "interpretability\n- \"addition\"\n- \"low_rank_rotated_space\"\n---\n\n# das\n"));
  for (const char* piece :
       {"- made for: toy of 3 layers, width 6 and vocabulary 11",
        "- parts of the model that trained along: 2 tensors, 42 values",
        "| mlp_output of layer 2, unit pos | low_rank_rotated_space | low_rank_dimension 2, intervention_link_key "
        "\"r\" | from a run | those of layer_0_comp_",
        "| a constant | 0 |", "The last line of `log.csv`.", "| loss | 1.25 |\n| accuracy | 0.75 |\n",
        "vene pull me/das das\n", "vene::IntervenableModelImpl::load(\"das\", lm.model)"}) {
    EXPECT_THAT(card, HasSubstr(piece));
  }
  write_text(saved_ + "/metrics.json", R"({"iia": 0.9375, "note": "text"})");
  fs::remove_all(folder_ / "uploaded");
  ASSERT_EQ(vene_command({"push", saved_, "me/das"}, with_stand_in()).status, 0);
  write_text(saved_ + "/metrics.json",
             R"({"model": "m", "steps": 68, "train": {"loss": 3.5, "kl": null}, "test": {"accuracy": 0.0625}})");
  fs::remove_all(folder_ / "uploaded");
  ASSERT_EQ(vene_command({"push", saved_, "me/das"}, with_stand_in()).status, 0);
  EXPECT_THAT(read_text(folder_ / "uploaded/README.md"),
              HasSubstr("| steps | 68 |\n| train.loss | 3.5 |\n| test.accuracy | 0.0625 |\n"));
  write_text(saved_ + "/metrics.json", R"({"iia": 0.9375, "note": "text"})");
  fs::remove_all(folder_ / "uploaded");
  ASSERT_EQ(vene_command({"push", saved_, "me/das"}, with_stand_in()).status, 0);
  const std::string second = read_text(folder_ / "uploaded/README.md");
  EXPECT_THAT(second, HasSubstr("From `metrics.json`.\n\n| metric | value |\n|---|---|\n| iia | 0.9375 |\n\n"));
  EXPECT_THAT(second, Not(HasSubstr("base_model")));
}

TEST_F(HubTest, MetricsThatAreNoneAreOneLine) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {std::string(20'000, '[') + std::string(20'000, ']'), "metrics.json: JSON nested deeper than 64"},
      {R"({"iia": 1, "iia": 2})", "metrics.json: key 'iia' is given twice in one object"},
      {"{", "metrics.json: not JSON: line 1, column 2"},
      {std::string(300'000, ' '), "metrics.json: has 300000 bytes, expected a few numbers"}};
  for (const auto& [text, what] : cases) {
    write_text(saved_ + "/metrics.json", text);
    expect_one_line(vene_command({"push", saved_, "me/das"}, with_stand_in()), what);
  }
}

// A pull of the card's own, then its commands.
TEST_F(HubTest, WhatTheCardSaysLoadsTheInterventions) {
  const vene::models::LanguageModel lm = vene::models::load(vene_test::bundled_model());
  for (
      const char* config :
      {R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2}])",
       R"([{"layer": 0, "intervention_type": "directions", "count": 3}, {"layer": 1, "intervention_type": "directions", "count": 2}])",
       R"([{"layer": 0, "max_number_of_units": 2, "intervention_type": "rotated_space"}, {"layer": 1, "max_number_of_units": 2, "intervention_type": "zero"}])",
       R"({"mode": "serial", "representations": [{"layer": 0}, {"layer": 1}]})",
       R"([{"component": "head_attention_value_output", "unit": "h.pos"}])",
       R"([{"component": "head_attention_value_output", "unit": "h"}])",
       R"([{"layer": 1, "intervention_type": "zero"}])"}) {
    SCOPED_TRACE(config);
    fs::remove_all(folder_ / "bundled");
    fs::remove_all(folder_ / "uploaded");
    vene::IntervenableModel(vene::IntervenableConfig::parse(config), lm.model)->save(folder_ / "bundled");
    ASSERT_EQ(vene_command({"push", folder_ / "bundled", "me/uploaded"}, with_stand_in()).status, 0);
    const std::string card = read_text(folder_ / "uploaded/README.md"), fence = "```json\n";
    const std::size_t at = card.find(fence);
    if (at == std::string::npos) {
      EXPECT_THAT(card, HasSubstr("vene generate -m MODEL -p 'Once upon a time' --config uploaded\n"));
      const Outcome outcome = vene_command({"generate", "-m", vene_test::bundled_model(), "-p", "Once upon a time",
                                            "--config", folder_ / "uploaded", "-n", "2"});
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      continue;
    }
    EXPECT_THAT(card, HasSubstr("vene run -m MODEL experiment.json -o out\n"));
    EXPECT_THAT(card, HasSubstr("vene::run_experiment(vene::load_experiment(\"experiment.json\", lm), lm);\n"));
    EXPECT_THAT(card, Not(HasSubstr("vene generate")));
    write_text(folder_ / "experiment.json",
               card.substr(at + fence.size(), card.find("\n```", at + fence.size()) - at - fence.size()));
    const Outcome outcome =
        vene_command({"run", "-m", vene_test::bundled_model(), folder_ / "experiment.json", "-o", folder_ / "out"});
    EXPECT_EQ(outcome.status, 0) << outcome.err << read_text(folder_ / "experiment.json");
  }
}

// The hub's client keeps a downloaded folder so.
TEST_F(HubTest, ASnapshotOfTheHubsCacheIsSentWithItsContents) {
  const std::string cache = folder_ / "cache/models--me--das", snapshot = cache + "/snapshots/0123abc";
  fs::create_directories(cache + "/blobs");
  fs::create_directories(snapshot);
  int number = 0;
  for (const std::string& name : kSaved) {
    const std::string blob = "f00" + std::to_string(number++);
    fs::rename(saved_ + "/" + name, cache + "/blobs/" + blob);
    fs::create_symlink("../../blobs/" + blob, snapshot + "/" + name);
  }
  const std::vector<std::string> before = names_below(folder_ / "cache");
  const Outcome outcome = vene_command({"push", snapshot, "me/das"}, with_stand_in());
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "me/das: 4 files from " + snapshot + "\n");
  EXPECT_THAT(names_below(folder_ / "uploaded"), ElementsAre("README.md", kSaved[0], kSaved[1], kSaved[2]));
  for (const std::string& name : kSaved) {
    EXPECT_FALSE(fs::is_symlink(folder_ / "uploaded/" + name));
    EXPECT_EQ(read_text(folder_ / "uploaded/" + name), read_text(snapshot + "/" + name));
  }
  EXPECT_EQ(names_below(folder_ / "cache"), before);
  EXPECT_THAT(names_below(folder_ / "temporary"), IsEmpty());
}

TEST_F(HubTest, ALinkThatLeavesTheFolderIsNotSent) {
  write_text(folder_ / "secret", "x");
  fs::create_directory(folder_ / "elsewhere");
  for (const auto& [target, says] : std::vector<std::pair<std::string, std::string>>{
           {"../secret", "notes' is a link out of the folder, to '" + fs::canonical(folder_ / "secret").string() + "'"},
           {"../elsewhere", "notes' is a link to the folder '"},
           {"nowhere", "notes': is a link to 'nowhere', where nothing is"}}) {
    fs::create_symlink(target, saved_ + "/notes");
    const Outcome outcome = vene_command({"push", saved_, "me/das"}, with_stand_in());
    expect_one_line(outcome, says);
    EXPECT_EQ(lines_of(outcome.err).size(), 1U) << outcome.err;
    fs::remove(saved_ + "/notes");
  }
  EXPECT_FALSE(fs::exists(folder_ / "arguments"));
  fs::create_symlink("config.json", saved_ + "/notes");
  ASSERT_EQ(vene_command({"push", saved_, "me/das"}, with_stand_in()).status, 0);
  EXPECT_EQ(read_text(folder_ / "uploaded/notes"), read_text(saved_ + "/config.json"));
}

TEST_F(HubTest, ALinkIsFollowedByPullAndStays) {
  fs::create_directory(folder_ / "offered");
  vene_test::save_interventions(folder_ / "offered");
  fs::create_symlink("nowhere", folder_ / "dangling");
  expect_one_line(vene_command({"pull", "me/das", folder_ / "dangling"}, with_stand_in()), "where nothing is");
  EXPECT_TRUE(fs::is_symlink(folder_ / "dangling"));
  fs::create_directory(folder_ / "empty");
  fs::create_symlink("empty", folder_ / "link");
  const Outcome outcome = vene_command({"pull", "me/das", folder_ / "link"}, with_stand_in());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(fs::exists(folder_ / "empty/config.json"));
}

TEST_F(HubTest, ACardThatIsThereIsKept) {
  write_text(saved_ + "/README.md", "mine");
  ASSERT_EQ(vene_command({"push", saved_, "me/das"}, with_stand_in()).status, 0);
  EXPECT_EQ(read_text(folder_ / "uploaded/README.md"), "mine");
}

TEST_F(HubTest, WithoutTheClientALineSaysHowToGetIt) {
  const std::string line =
      "vene: the Hugging Face client 'hf' is not on the PATH; install it with: pip install huggingface_hub\n";
  EXPECT_EQ(vene_command({"push", saved_, "me/das"}, without_client()).err, line);
  const Outcome pull = vene_command({"pull", "me/das", folder_ / "a/b"}, without_client());
  EXPECT_EQ(pull.status, 1);
  EXPECT_EQ(pull.err, line);
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(HubTest, NamesThatAreNoneAreAWrongCommandLine) {
  const auto refused = [](const Outcome& outcome, const std::string& name) {
    EXPECT_EQ(outcome.status, 2) << name;
    EXPECT_THAT(outcome.err, HasSubstr("expected user/name (letters, digits, '-', '_' and '.'), got '" + name + "'"));
  };
  for (const char* name :
       {"das", "me/", "/das", "me/das/x", "me/d as", "me/-das", "me/das.git", "me/d--s", "me/..", "me/das;x"}) {
    refused(vene_command({"push", saved_, name}, with_stand_in()), name);
  }
  refused(vene_command({"pull", "hf://me/das", folder_ / "out"}, with_stand_in()), "hf://me/das");
  EXPECT_EQ(vene_command({"push", saved_, "-me/das"}, with_stand_in()).status, 2);
  EXPECT_FALSE(fs::exists(folder_ / "arguments"));
}

TEST_F(HubTest, APulledFolderAppearsWholeOrNotAtAll) {
  fs::create_directories(folder_ / "offered/.cache/huggingface");
  write_text(folder_ / "offered/.gitattributes", "x");
  write_text(folder_ / "offered/README.md", "x");
  const std::string out = folder_ / "a/out";
  expect_one_line(vene_command({"pull", "me/das", out}, with_stand_in()),
                  "me/das: is not kept: " + out + ": holds no saved interventions: there is no config.json");
  EXPECT_FALSE(fs::exists(folder_ / "a"));
  vene_test::save_interventions(folder_ / "offered");
  expect_one_line(vene_command({"pull", "me/das", out}, with_stand_in(3)),
                  "to the user\nvene: 'hf download' ended with status 3; what it says is above\n");
  EXPECT_FALSE(fs::exists(folder_ / "a"));
  const Outcome outcome = vene_command({"pull", "me/das", out + "/"}, with_stand_in());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("for the model toy of 3 layers"));
  EXPECT_THAT(names_below(folder_ / "a"),
              ElementsAre("out", "out/README.md", "out/" + kSaved[0], "out/" + kSaved[1], "out/" + kSaved[2]));
  expect_one_line(vene_command({"pull", "me/das", out}, with_stand_in()),
                  "'" + out + "' is there already; name a new folder");
  fs::create_directory(folder_ / "empty");
  EXPECT_EQ(vene_command({"pull", "me/das", folder_ / "empty"}, with_stand_in()).status, 0);
  EXPECT_TRUE(fs::exists(folder_ / "empty/config.json"));
}

TEST_F(HubTest, AFolderThatIsNoneIsNotPushed) {
  expect_one_line(vene_command({"push", folder_ / "nothing", "me/das"}, with_stand_in()), "nothing: no such folder");
  expect_one_line(vene_command({"push", vene_test::bundled_model(), "me/das"}, with_stand_in()),
                  "says nothing of interventions");
  EXPECT_FALSE(fs::exists(folder_ / "arguments"));
  expect_one_line(vene_command({"push", saved_, "me/das"}, with_stand_in(1)), "'hf upload' ended with status 1");
  EXPECT_THAT(names_below(folder_ / "temporary"), IsEmpty());
}

// A hub on the loopback interface.
class LocalHub {
 public:
  explicit LocalHub(const std::string& folder) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    const std::string script = vene_test::source_path("tests/unit/cli/hub_server.py");
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execlp("python3", "python3", script.c_str(), folder.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(ends[1]);
    for (char digit = 0; ::read(ends[0], &digit, 1) == 1 && digit != '\n';) port_ += digit;
    ::close(ends[0]);
  }
  ~LocalHub() {
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
  }
  LocalHub(const LocalHub&) = delete;
  LocalHub& operator=(const LocalHub&) = delete;
  const std::string& port() const { return port_; }

 private:
  pid_t child_ = -1;
  std::string port_;
};

TEST_F(HubTest, TheHubsOwnClientPushesAndPulls) {
  if (vene_test::shell("command -v hf && command -v python3").status != 0)
    GTEST_SKIP() << "the Hugging Face client 'hf' is not installed here";
  fs::create_directory(folder_ / "hub");
  const LocalHub hub(folder_ / "hub");
  ASSERT_THAT(hub.port(), Not(IsEmpty()));
  Surroundings surroundings;
  surroundings.environment = {{"HF_ENDPOINT", "http://127.0.0.1:" + hub.port()},
                              {"HF_HOME", folder_ / "home"},
                              {"HF_TOKEN", "hf_test"},
                              {"HF_HUB_DISABLE_XET", "1"},
                              {"HF_HUB_DISABLE_UPDATE_CHECK", "1"},
                              {"HF_HUB_DISABLE_TELEMETRY", "1"},
                              {"TMPDIR", folder_ / "temporary"}};
  const Outcome push = vene_command({"push", saved_, "me/das", "--message", "first"}, surroundings);
  ASSERT_EQ(push.status, 0) << push.err;
  EXPECT_THAT(names_below(folder_ / "hub/me/das"), ElementsAre("README.md", kSaved[0], kSaved[1], kSaved[2]));
  EXPECT_EQ(read_text(folder_ / "hub/message.txt"), "first");
  EXPECT_THAT(read_text(folder_ / "hub/validated.md"), StartsWith("---\nlibrary_name: vene\n"));
  EXPECT_THAT(read_text(folder_ / "hub/requests.txt"),
              HasSubstr("POST /api/models/me/das/commit/main Bearer hf_test\n"));
  const Outcome pull = vene_command({"pull", "me/das", folder_ / "out"}, surroundings);
  ASSERT_EQ(pull.status, 0) << pull.err;
  EXPECT_THAT(names_below(folder_ / "out"), ElementsAre("README.md", kSaved[0], kSaved[1], kSaved[2]));
  for (const std::string& name : kSaved) EXPECT_EQ(read_text(folder_ / "out/" + name), read_text(saved_ + "/" + name));
  EXPECT_EQ(vene_command({"inspect", folder_ / "out"}).status, 0);

  fs::copy(vene_test::source_path("tests/golden/pyvene/saved_constants"), folder_ / "pyvene");
  ASSERT_EQ(vene_command({"push", folder_ / "pyvene", "me/old", "--private"}, surroundings).status, 0);
  EXPECT_THAT(read_text(folder_ / "hub/created.json"), HasSubstr("\"visibility\": \"private\""));
  const Outcome old = vene_command({"pull", "me/old", folder_ / "old"}, surroundings);
  ASSERT_EQ(old.status, 0) << old.err;
  for (const std::string& name : names_below(folder_ / "pyvene"))
    EXPECT_EQ(read_text(folder_ / "old/" + name), read_text(folder_ / "pyvene/" + name));

  const Outcome absent = vene_command({"pull", "me/absent", folder_ / "absent"}, surroundings);
  EXPECT_EQ(absent.status, 1);
  EXPECT_THAT(absent.err, HasSubstr("vene: 'hf download' ended with status "));
  EXPECT_FALSE(fs::exists(folder_ / "absent"));
  EXPECT_EQ(vene_command({"pull", "me/das", folder_ / "absent", "--revision", "nowhere"}, surroundings).status, 1);
  EXPECT_FALSE(fs::exists(folder_ / "absent"));
}

}  // namespace

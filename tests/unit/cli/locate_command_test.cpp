// SPDX-License-Identifier: Apache-2.0
// `vene locate`: files that programs read, pictures and maps that people read, and what it says of bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "vene/viz/heat_map.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;
using Json = nlohmann::json;

const std::string kTask =
    R"({"template": "[name] walked because", "classes": {"he": ["John", "James", "Robert", "Michael", "David", "William"],
  "she": ["Mary", "Linda", "Susan", "Jessica", "Sarah", "Karen"]}, "answers": {"he": " he", "she": " she"}})";

Outcome locate(const TestFolder& folder, const std::string& task, std::vector<std::string> more = {}) {
  vene_test::write_text(folder / "task.json", task);
  std::vector<std::string> arguments{"locate", "-m",           bundled_model(), "--task", folder / "task.json",
                                     "-o",     folder / "out", "--steps",       "5",      "--threads",
                                     "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return vene_command(arguments);
}

TEST(LocateCommand, WritesATableARecordAndTwoMaps) {
  const TestFolder folder;
  const Outcome outcome = locate(folder, kTask);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const bool drawn = vene::gnuplot_available();
  if (drawn) {
    EXPECT_THAT(outcome.err, IsEmpty());
    EXPECT_THAT(vene_test::names_below(folder / "out"),
                ElementsAre("directions", "directions/config.json", "directions/interventions.safetensors",
                            "locate.csv", "locate.json", "locate.png", "locate.svg"));
    const std::string svg = vene_test::read_text(folder / "out/locate.svg");
    for (const char* text :
         {"one direction exchanged", "linear probe", "interchange accuracy", "accuracy on new names"})
      EXPECT_THAT(svg, HasSubstr(text));
  }
  EXPECT_TRUE(outcome.out.starts_with(
      "\"[name] walked because\" -> \" he\" or \" she\": 12 names, right without an exchange 1.000\n"))
      << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("\none direction exchanged\n [name] |"));
  EXPECT_THAT(outcome.out, HasSubstr("\n         0 1 2 3 4 5  layer of block_output\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\nlinear probe\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\ncells at 0.8 or more, of 18: "));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("\x1b")));
  const Json record = Json::parse(vene_test::read_text(folder / "out/locate.json"));
  EXPECT_EQ(record["names"]["he"]["train"].size() + record["names"]["he"]["test"].size(), 6U);
  const auto lines = vene_test::lines_of(vene_test::read_text(folder / "out/locate.csv"));
  ASSERT_EQ(lines.size(), 1U + 18U);
  EXPECT_EQ(lines[0], "layer,position,token,iia,probe");
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::size_t layer = (i - 1) / 3, column = (i - 1) % 3;
    const std::string place =
        std::to_string(layer) + "," + std::to_string(column) + "," + record["tokens"][column].get<std::string>() + ",";
    ASSERT_TRUE(lines[i].starts_with(place)) << lines[i];
    EXPECT_NEAR(std::stod(lines[i].substr(place.size())), record["iia"][layer][column].get<double>(), 1e-8);
  }
}

TEST(LocateCommand, ItsRecordIsEnoughToRepeatIt) {
  const TestFolder folder;
  const Outcome first = locate(folder, kTask,
                               {"--json", "--no-picture", "--component", "mlp_output", "--layers", "1,4", "--rate",
                                "0.1", "--batch", "6", "--pairs", "20", "--seed", "7"});
  ASSERT_EQ(first.status, 0) << first.err;
  const Json record = Json::parse(first.out);
  EXPECT_EQ(first.out, vene_test::read_text(folder / "out/locate.json"));
  EXPECT_EQ(record["train_pairs"], 20);
  EXPECT_EQ(record["clean_accuracy"], 1.0);
  std::string layers;
  for (const Json& layer : record["layers"]) layers += (layers.empty() ? "" : ",") + layer.dump();
  EXPECT_EQ(layers, "1,4");
  const Outcome again = locate(folder, record["task"].dump(),
                               {"--json", "--no-picture", "--component", record["component"], "--layers", layers,
                                "--rate", record["rate"].dump(), "--batch", record["batch"].dump(), "--pairs",
                                record["pairs"].dump(), "--seed", record["seed"].dump()});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out), record);
}

TEST(LocateCommand, NamesLeftOutAreTold) {
  const TestFolder folder;
  std::string task = kTask;
  task.replace(task.find("William"), 7, "Alice");
  const Outcome outcome = locate(folder, task, {"--no-picture", "--layers", "0"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err,
            "vene: 1 name of 'he' is left out, because the model puts another class's answer after it: Alice\n");
  const Outcome kept = locate(folder, task, {"--no-picture", "--layers", "0", "--keep-mistaken"});
  EXPECT_THAT(kept.err, IsEmpty());
  EXPECT_THAT(kept.out, HasSubstr("12 names, right without an exchange 0.917"));
}

TEST(LocateCommand, SaysWhatIsWrongInOneLineAndWritesNothing) {
  const TestFolder folder;
  const auto refused = [&](const std::string& task, const std::vector<std::string>& more, const std::string& what) {
    const Outcome outcome = locate(folder, task, more);
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_THAT(outcome.err, HasSubstr(what));
    EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
    EXPECT_THAT(vene_test::names_below(folder.path()), ElementsAre("task.json"));
  };
  const auto changed = [](const std::string& from, const std::string& to) {
    return std::string(kTask).replace(kTask.find(from), from.size(), to);
  };
  refused("{\"template\": ", {}, "task.json': not JSON: line 1");
  refused(changed("\"template\"", "\"tempalte\""), {}, "task.json': unknown key 'tempalte'; did you mean 'template'?");
  refused(changed("[name]", "She"), {}, "template: expected a text with [name] in it");
  refused(changed("\"she\": \" she\"", "\"she\": \" she walked\""), {},
          "answers.she: ' she walked' is 2 tokens (' she', ' walked'), expected one");
  refused(kTask, {"--component", "block_outptu"}, "no component 'block_outptu'; did you mean 'block_output'");
  refused(kTask, {"--layers", "9"}, "there is no layer 9; layers are 0 to 5");
  const Outcome still = locate(folder, kTask, {"--rate", "0"});
  EXPECT_EQ(still.status, 2);
  EXPECT_THAT(still.err, HasSubstr("expected a number above 0, got '0'"));
  EXPECT_EQ(locate(folder, kTask, {"--seed", "-1"}).status, 2);
  const Outcome absent =
      vene_command({"locate", "-m", bundled_model(), "--task", folder / "none.json", "-o", folder / "out"});
  EXPECT_EQ(absent.status, 1);
  EXPECT_THAT(absent.err, HasSubstr("none.json"));
  EXPECT_EQ(vene_test::lines_of(absent.err).size(), 1U) << absent.err;
}

}  // namespace

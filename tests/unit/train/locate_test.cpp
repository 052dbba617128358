// SPDX-License-Identifier: Apache-2.0
#include "vene/train/locate.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <map>
#include <set>

#include "src/train/probe.h"
#include "tests/data_folder.h"
#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;

const models::LanguageModel& bundled() {
  static const models::LanguageModel model =
      models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  return model;
}

LocateTask gender() {
  return LocateTask::load(std::string(vene_test::kSourceFolder) + "/examples/tasks/gender.json");
}

// The same with the first names of each class only.
LocateTask some_names(std::size_t count) {
  LocateTask task = gender();
  for (auto& entry : task.classes) entry.names.resize(count);
  return task;
}

// ---------------------------------------------------------------- task files

TEST(LocateTaskTest, ReadsTemplateClassesAndAnswers) {
  const LocateTask task = LocateTask::parse(
      R"({"template": "So [name] is", "classes": {"b": ["Ann", "Eve"], "a": ["Bob", "Tom", "Al"]}, "answers": {"a": " he", "b": " she"}})");
  EXPECT_EQ(task.text, "So [name] is");
  ASSERT_EQ(task.classes.size(), 2U);
  EXPECT_EQ(task.classes[0].name, "a");
  EXPECT_EQ(task.classes[0].answer, " he");
  EXPECT_THAT(task.classes[0].names, ElementsAre("Bob", "Tom", "Al"));
  EXPECT_EQ(task.classes[1].answer, " she");
}

TEST(LocateTaskTest, FaultsAreNamedByTheirKey) {
  const auto refused = [](const std::string& json, const char* message) {
    EXPECT_THAT([&] { (void)LocateTask::parse(json); }, ThrowsMessage<ConfigError>(HasSubstr(message))) << json;
  };
  const std::string classes = R"("classes": {"a": ["Bob", "Tom"], "b": ["Ann", "Eve"]})",
                    answers = R"("answers": {"a": " he", "b": " she"})", text = R"("template": "[name] is")";
  refused("{", "not JSON: line 1, column 2");
  refused("[1]", "expected an object with template, classes and answers, got [1]");
  refused("{" + text + "," + classes + "," + answers + R"(, "clases": 1})",
          "unknown key 'clases'; did you mean 'classes'?");
  refused("{" + classes + "," + answers + "}", "template: is missing; expected a text with [name] in it");
  refused(R"({"template": "She is",)" + classes + "," + answers + "}",
          "template: expected a text with [name] in it, such as \"[name] walked because\", got \"She is\"");
  refused(R"({"template": "[name] and [name]",)" + classes + "," + answers + "}",
          "template: [name] stands in it twice");
  refused(R"({"template": 3,)" + classes + "," + answers + "}", "template: expected a text, got 3");
  refused("{" + text + "," + answers + "}", "classes: is missing; expected an object that gives each class's names");
  refused("{" + text + R"(, "classes": {"a": ["Bob", "Tom"]}, )" + answers + "}",
          "classes: expected an object of at least two classes");
  refused("{" + text + R"(, "classes": {"a": ["Bob", "Tom"], "b": "Ann"}, )" + answers + "}",
          "classes.b: expected a list of names, got \"Ann\"");
  refused("{" + text + R"(, "classes": {"a": ["Bob", "Tom"], "b": ["Ann"]}, )" + answers + "}",
          "classes.b: expected at least two names, one to train on and one to test on, got 1");
  refused("{" + text + R"(, "classes": {"a": ["Bob", "Tom"], "b": ["Ann", 7]}, )" + answers + "}",
          "classes.b[1]: expected a text, got 7");
  refused("{" + text + R"(, "classes": {"a": ["Bob", "Tom"], "b": ["Ann", "Tom"]}, )" + answers + "}",
          "classes.b[1]: the name 'Tom' is already at classes.a[1]");
  refused("{" + text + "," + classes + R"(, "answers": {"a": " he"}})",
          "answers.b: is missing; expected the token that goes on from the template");
  refused("{" + text + "," + classes + R"(, "answers": {"a": " he", "b": " she", "bb": " it"}})",
          "answers: there is no class 'bb'; did you mean 'b'");
  EXPECT_THAT([] { (void)LocateTask::load("/nowhere/task.json"); },
              ThrowsMessage<IoError>(HasSubstr("/nowhere/task.json")));
}

// ---------------------------------------------------------------- probes

TEST(ProbeTest, ReadsWhatSeparatesNewRowsAndNothingElse) {
  torch::manual_seed(3);
  const std::int64_t rows = 80;
  std::vector<std::int64_t> classes, train, test;
  for (std::int64_t row = 0; row < rows; ++row) {
    classes.push_back(row % 2);
    (row < 40 ? train : test).push_back(row);
  }
  Tensor values = torch::randn({5, rows, 6});
  const Tensor sign = torch::tensor(classes, torch::kFloat32) * 2 - 1;
  values[0].select(1, 2).add_(sign * 6);                // one feature tells
  values[1].mul_(1e-3).select(1, 4).add_(sign * 6e-3);  // also where all is small
  values[2] =
      values[2][0] + torch::randn({rows, 6}) * 1e-7 + sign.unsqueeze(1) * 1e-7;  // a constant, but for its last bits
  values[3].add_(100).select(1, 1).add_(sign * 6);                               // also behind an offset
  const Tensor accuracy = detail::probe_accuracy(values, classes, 2, train, test);
  EXPECT_EQ(accuracy.scalar_type(), torch::kFloat64);
  for (const std::int64_t cell : {0, 1, 3}) EXPECT_EQ(accuracy[cell].item<double>(), 1) << cell;
  EXPECT_EQ(accuracy[2].item<double>(), 0.5);
  EXPECT_NEAR(accuracy[4].item<double>(), 0.5, 0.3);
  for (std::int64_t cell = 0; cell < 5; ++cell) {
    EXPECT_EQ(detail::probe_accuracy(values.narrow(0, cell, 1), classes, 2, train, test).item<double>(),
              accuracy[cell].item<double>())
        << "batched and alone, cell " << cell;
  }
}

TEST(ProbeTest, ThreeClassesAreTold) {
  torch::manual_seed(4);
  std::vector<std::int64_t> classes, train, test;
  for (std::int64_t row = 0; row < 60; ++row) {
    classes.push_back(row % 3);
    (row < 30 ? train : test).push_back(row);
  }
  Tensor values = torch::randn({1, 60, 4}) * 0.1;
  for (std::int64_t row = 0; row < 60; ++row) values[0][row][row % 3].add_(1);
  EXPECT_EQ(detail::probe_accuracy(values, classes, 3, train, test).item<double>(), 1);
}

// ---------------------------------------------------------------- the grid

// What a plain run of the public interface gives for a cell: every pair of test names, their texts as they are,
// exchanged along a direction.
double plain_accuracy(const LocateResult& found, std::int64_t layer, std::int64_t column, const Tensor& direction,
                      std::optional<std::int64_t> head = {}) {
  const auto text = [&](const std::string& name) {
    return std::string(found.task.text).replace(found.task.text.find("[name]"), 6, name);
  };
  IntervenableConfig config;
  config.add_intervention({.layer = layer,
                           .component = found.options.component,
                           .unit = head ? "h.pos" : "pos",
                           .intervention_type = "directions"});
  IntervenableModel model(config, bundled().model);
  const torch::NoGradGuard no_grad;
  model->parameters()[0].copy_(direction.unsqueeze(0) * 3);  // its length has no say
  double right = 0, pairs = 0;
  for (std::size_t b = 0; b < found.classes.size(); ++b) {
    for (std::size_t s = 0; s < found.classes.size(); ++s) {
      if (b == s) continue;
      for (const std::string& base : found.classes[b].test) {
        for (const std::string& source : found.classes[s].test) {
          // Columns up to the name's count from the start of the text, later ones from its end.
          const bool before = column < found.name_column;
          const Positions place = before ? at(column) : at(column - static_cast<std::int64_t>(found.tokens.size()));
          const Tensor logits = model
                                    ->forward({.base = bundled().encode(text(base)),
                                               .sources = {bundled().encode(text(source))},
                                               .locations = head ? heads_at({*head}, place) : Locations(place)})
                                    .intervened.logits[0][-1];
          std::size_t best = 0;
          for (std::size_t c = 1; c < found.classes.size(); ++c) {
            if (logits[found.classes[c].answer_id].item<double>() >
                logits[found.classes[best].answer_id].item<double>())
              best = c;
          }
          right += best == s ? 1 : 0;
          ++pairs;
        }
      }
    }
  }
  return right / pairs;
}

TEST(LocateTest, ItsAccuracyIsThatOfPlainRunsOneByOne) {
  LocateOptions options;
  options.layers = {0, 5};
  options.steps = 12;
  options.batch = 7;  // which does not divide the number of pairs
  const LocateResult found = locate(bundled(), some_names(14), options);
  std::set<std::size_t> lengths;
  for (const auto& entry : found.classes) {
    for (const std::string& name : entry.test) lengths.insert(bundled().tokenizer->encode(name).size());
  }
  EXPECT_GT(lengths.size(), 1U) << "names of different lengths are wanted here";
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t column = 0; column < 3; ++column) {
      const Tensor direction = found.directions[static_cast<std::size_t>(row)][column];
      EXPECT_NEAR(direction.norm().item<double>(), 1, 1e-5);
      EXPECT_NEAR(plain_accuracy(found, found.layers[static_cast<std::size_t>(row)], column, direction),
                  found.iia[row][column].item<double>(), 1e-9)
          << row << " " << column;
    }
  }
}

TEST(LocateTest, ACellIsTheSameTrainedAloneAndBesideTheOthers) {
  LocateOptions options;
  options.layers = {1, 3};
  options.steps = 25;
  const LocateResult together = locate(bundled(), some_names(16), options);
  EXPECT_THAT(together.tokens, ElementsAre("[name]", " walked", " because"));
  for (std::int64_t column = 0; column < 3; ++column) {
    options.columns = {column};
    const LocateResult alone = locate(bundled(), some_names(16), options);
    for (std::int64_t layer = 0; layer < 2; ++layer) {
      EXPECT_EQ(alone.iia[layer][column].item<double>(), together.iia[layer][column].item<double>());
      EXPECT_EQ(alone.probe[layer][column].item<double>(), together.probe[layer][column].item<double>());
      const auto at = static_cast<std::size_t>(layer);
      EXPECT_LT((alone.directions[at][column] - together.directions[at][column]).abs().max().item<double>(), 1e-4)
          << layer << " " << column;
    }
    EXPECT_EQ(torch::isnan(alone.iia).sum().item<std::int64_t>(), 4) << "cells that were not asked for";
  }
}

TEST(LocateTest, ColumnsTrainedSideBySideAreThoseTrainedInTurn) {
  LocateOptions options;
  options.layers = {0, 3};
  options.steps = 6;
  const int before = torch::get_num_threads();
  std::vector<LocateResult> results;
  for (const int threads : {1, 3}) {
    torch::set_num_threads(threads);
    results.push_back(locate(bundled(), some_names(8), options));
    EXPECT_EQ(torch::get_num_threads(), threads);
  }
  EXPECT_TRUE(torch::equal(results[0].iia, results[1].iia));
  for (const std::size_t row : {0U, 1U})
    EXPECT_LT((results[0].directions[row] - results[1].directions[row]).abs().max().item<double>(), 1e-5);
  // What goes wrong in one of them comes out.
  options.progress = [](std::size_t done, std::size_t) { return done < 7; };
  EXPECT_THAT([&] { (void)locate(bundled(), some_names(8), options); },
              ThrowsMessage<PlanError>(HasSubstr("locate: cancelled")));
  torch::set_num_threads(before);
}

TEST(LocateTest, BeforeTheNameAnExchangeDoesNothing) {
  LocateTask task = some_names(12);
  task.text = "the [name] walked because";
  LocateOptions options;
  options.layers = {2};
  options.steps = 3;
  options.keep_mistaken = true;
  const LocateResult found = locate(bundled(), task, options);
  EXPECT_THAT(found.tokens, ElementsAre("t", "he", "[name]", " walked", " because"));
  EXPECT_EQ(found.name_column, 2);
  torch::manual_seed(1);
  for (const std::int64_t column : {0, 1}) {
    EXPECT_NEAR(plain_accuracy(found, 2, column, torch::randn({128})), found.iia[0][column].item<double>(), 1e-9);
    EXPECT_EQ(found.directions[0][column].abs().max().item<double>(), 0);
    EXPECT_EQ(found.probe[0][column].item<double>(), 0.5) << "as many test names in either class";
  }
  EXPECT_NEAR(plain_accuracy(found, 2, 2, found.directions[0][2]), found.iia[0][2].item<double>(), 1e-9);
}

TEST(LocateTest, AnySiteWithPositionsWillDoAndTheModelStaysAsItWas) {
  LocateOptions options;
  options.steps = 2;
  options.layers = {4};
  const Tensor before = bundled().model->parameters()[5].clone();
  for (const char* component : {"mlp_output", "attention_input", "mlp_activation"}) {
    options.component = component;
    const LocateResult found = locate(bundled(), some_names(8), options);
    EXPECT_THAT(found.layers, ElementsAre(4));
    EXPECT_NEAR(plain_accuracy(found, 4, 2, found.directions[0][2]), found.iia[0][2].item<double>(), 1e-9) << component;
  }
  options.layers.clear();
  for (const char* component : {"embedding", "final_norm"}) {
    options.component = component;
    const LocateResult found = locate(bundled(), some_names(8), options);
    EXPECT_THAT(found.layers, ElementsAre(-1));
    EXPECT_NEAR(plain_accuracy(found, 0, 2, found.directions[0][2]), found.iia[0][2].item<double>(), 1e-9) << component;
  }
  options = LocateOptions{.component = "head_attention_value_output", .head = 2, .layers = {1, 3}, .steps = 20};
  const LocateResult found = locate(bundled(), some_names(8), options);
  EXPECT_EQ(found.directions[0].size(1), 32);
  for (const std::size_t row : {0U, 1U}) {
    const std::int64_t layer = found.layers[row], at = static_cast<std::int64_t>(row);
    EXPECT_NEAR(plain_accuracy(found, layer, 2, found.directions[row][2], 2), found.iia[at][2].item<double>(), 1e-9)
        << layer;
  }
  EXPECT_TRUE(torch::equal(bundled().model->parameters()[5], before));
  for (const Tensor& parameter : bundled().model->parameters()) EXPECT_FALSE(parameter.grad().defined());
}

TEST(LocateTest, ItsDirectionsCanBeRunAndSaved) {
  LocateTask task = some_names(8);
  task.text = "the [name] walked because";
  LocateOptions options;
  options.steps = 4;
  options.layers = {0, 3};
  options.keep_mistaken = true;
  const LocateResult found = locate(bundled(), task, options);
  const std::string folder = testing::TempDir() + "/located";
  locate_interventions(found, bundled())->save(folder);
  const auto model = IntervenableModelImpl::load(folder, bundled().model);
  ASSERT_EQ(model->interventions().size(), 2U);
  // The second row's direction at the second column from the name, alone.
  IntervenableConfig config;
  config.add_intervention({.layer = 3, .intervention_type = "directions"});
  IntervenableModel one(config, bundled().model);
  const torch::NoGradGuard no_grad;
  one->parameters()[0].copy_(found.directions[1][found.name_column + 1].unsqueeze(0));
  const models::Batch base = bundled().encode("the John walked because"),
                      source = bundled().encode("the Mary walked because");
  const Tensor expected = one->forward({.base = base, .sources = {source}, .locations = at(-2)}).intervened.logits;
  const Tensor saved =
      model
          ->forward(
              {.base = base, .sources = {std::nullopt, source}, .locations = at(-2), .subspaces = {SubspaceIds{{{1}}}}})
          .intervened.logits;
  EXPECT_LT((saved - expected).abs().max().item<double>(), 1e-4);
  EXPECT_GT((saved - bundled().model->forward(base).logits).abs().max().item<double>(), 1e-2);
}

std::int64_t high(const Tensor& accuracy) {
  return (accuracy >= 0.9).sum().item<std::int64_t>();
}

TEST(LocateTest, AProbeSucceedsInFarMorePlacesThanAnExchange) {
  LocateOptions options;
  options.steps = 60;
  std::size_t told = 0;
  options.progress = [&](std::size_t done, std::size_t all) {
    EXPECT_EQ(all, 18U * 60U);
    EXPECT_GT(done, told);
    told = done;
    return true;
  };
  const LocateResult found = locate(bundled(), gender(), options);
  EXPECT_EQ(told, 18U * 60U);
  EXPECT_EQ(found.clean_accuracy, 1);
  EXPECT_GT(high(found.probe), 2 * high(found.iia));
  // It is found: at the name in the first layer, then at the last token; in the middle it can be read, and is not used.
  EXPECT_GE(found.iia[0][0].item<double>(), 0.7);
  for (std::int64_t layer = 1; layer < 6; ++layer) {
    EXPECT_GE(found.iia[layer][2].item<double>(), 0.95) << layer;
    EXPECT_LE(found.iia[layer][1].item<double>(), 0.1) << layer;
    EXPECT_GE(found.probe[layer][1].item<double>(), 0.9) << layer;
  }
}

TEST(LocateTest, SoItIsInStories) {
  VENE_REQUIRE_DATA(data);
  const models::LanguageModel stories = models::load((*data / "stories260k").string());
  LocateTask task;
  task.text = "[name] was happy because";
  task.classes = {
      {"he", " he", {"Tim",   "Tom",    "Ben", "Max",   "Sam",   "Jack", "Timmy", "Tommy", "Bob",   "John",
                     "Billy", "Johnny", "Jim", "Jimmy", "Bobby", "Joe",  "Leo",   "Spot",  "Peter", "Mark"}},
      {"she", " she", {"Lily",  "Sue",  "Mia",   "Anna",  "Sara",  "Lucy",  "Amy",  "Jane", "Mary",  "Emma",
                       "Molly", "Lola", "Daisy", "Sally", "Jenny", "Betty", "Jill", "Ella", "Kitty", "Sarah"}}};
  LocateOptions options;
  options.steps = 60;
  const LocateResult found = locate(stories, task, options);
  EXPECT_THAT(found.tokens, ElementsAre("<s>", "[name]", " was", " happy", " be", "c", "a", "u", "se"));
  for (const auto& entry : found.classes)
    EXPECT_THAT(entry.unaligned, testing::IsEmpty()) << "names that begin with a token for their space";
  EXPECT_GE(found.clean_accuracy, 0.85);
  // The model is small and of few words: at 0.8, not at 0.9.
  EXPECT_GT((found.probe >= 0.8).sum().item<std::int64_t>(), 2 * (found.iia >= 0.8).sum().item<std::int64_t>());
  EXPECT_GE(found.iia[4][8].item<double>(), 0.9) << "at the last token of the last layer";
}

// ---------------------------------------------------------------- what does not fit

TEST(LocateTest, NamesThatDoNotFitAreLeftOutAndCounted) {
  LocateTask task = some_names(10);
  std::swap(task.classes[0].names[9], task.classes[1].names[9]);  // the model knows better
  task.text = "[name]s walked because";
  LocateOptions options;
  options.layers = {0};
  options.steps = 1;
  options.keep_mistaken = true;
  LocateResult found = locate(bundled(), task, options);
  std::size_t used = 0, unaligned = 0, mistaken = 0;
  for (const auto& entry : found.classes) {
    used += entry.train.size() + entry.test.size();
    unaligned += entry.unaligned.size();
  }
  EXPECT_EQ(used + unaligned, 20U);
  EXPECT_EQ(found.tokens.back(), " because");
  task.text = "[name] walked because";
  options.keep_mistaken = false;
  found = locate(bundled(), task, options);
  for (const auto& entry : found.classes) mistaken += entry.mistaken.size();
  EXPECT_EQ(mistaken, 2U);
  EXPECT_THAT(found.classes[0].mistaken, ElementsAre(task.classes[0].names[9]));
  EXPECT_DOUBLE_EQ(found.clean_accuracy, 18.0 / 20.0);
  EXPECT_EQ(found.classes[0].train.size() + found.classes[0].test.size(), 9U);
}

TEST(LocateTest, ErrorsSayWhatDoesNotFit) {
  const auto refused = [](const std::function<void(LocateTask&, LocateOptions&)>& change, const char* message) {
    LocateTask task = some_names(6);
    LocateOptions options;
    options.steps = 1;
    options.layers = {0};
    change(task, options);
    EXPECT_THAT([&] { (void)locate(bundled(), task, options); }, ThrowsMessage<Error>(HasSubstr(message)));
  };
  refused([](auto& task, auto&) { task.classes[0].answer = " he walked"; },
          "answers.he: ' he walked' is 2 tokens (' he', ' walked'), expected one");
  refused([](auto& task, auto&) { task.classes[1].answer = " he"; },
          "answers: those of 'he' and 'she' are the same token");
  refused([](auto& task, auto&) { task.classes[0].names = task.classes[1].names; },
          "classes.he: expected at least two names that can be used, 0 of 6 can (0 have other tokens");
  refused([](auto&, auto& options) { options.component = "blok_output"; }, "did you mean 'block_output'");
  refused([](auto&, auto& options) { options.component = "attention_pattern"; },
          "locate: attention_pattern is not a value [batch, pos, feature] of the model");
  refused(
      [](auto&, auto& options) { options.component = "head_query_output"; },
      "locate: head_query_output has 4 heads; say which one (head), or name the component that has them side by side");
  refused([](auto&, auto& options) { options.component = "head_query_output", options.head = 4; },
          "locate: there is no head 4; heads are 0 to 3");
  refused([](auto&, auto& options) { options.head = 1; },
          "locate: head 1 is asked for, and block_output is not cut into heads");
  refused([](auto&, auto& options) { options.component = "embedding"; },
          "locate: embedding is one place, so layers cannot be chosen");
  refused([](auto&, auto& options) { options.layers = {6}; }, "locate: there is no layer 6; layers are 0 to 5");
  refused([](auto&, auto& options) { options.layers = {1, 1}; }, "locate: layer 1 is given twice");
  refused([](auto&, auto& options) { options.columns = {3}; }, "locate: there is no column 3; the template has 3");
  refused([](auto&, auto& options) { options.steps = 0; }, "locate: steps is 0.000000, expected at least 1");
  refused([](auto&, auto& options) { options.rate = 0; }, "locate: rate is 0.000000, expected more than 0");
  refused([](auto&, auto& options) { options.test_share = 1; },
          "locate: test_share is 1.000000, expected a share between 0 and 1");
  refused([](auto&, auto& options) { options.progress = [](std::size_t, std::size_t) { return false; }; },
          "locate: cancelled");
  models::LanguageModel wordless = bundled();
  wordless.tokenizer = nullptr;
  EXPECT_THAT([&] { (void)locate(wordless, some_names(4)); },
              ThrowsMessage<ConfigError>(HasSubstr("this model has no tokenizer")));
}

TEST(LocateTest, TheTableHasALineACell) {
  LocateOptions options;
  options.layers = {2, 0};
  options.steps = 1;
  const LocateResult found = locate(bundled(), some_names(6), options);
  EXPECT_THAT(found.layers, ElementsAre(0, 2));
  const std::string csv = locate_csv(found);
  EXPECT_TRUE(csv.starts_with("layer,position,token,iia,probe\n0,0,[name],")) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7);
  EXPECT_THAT(csv, HasSubstr("\n2,1, walked,"));
}

}  // namespace
}  // namespace vene

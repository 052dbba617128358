// SPDX-License-Identifier: Apache-2.0
// Collecting values of many texts into a folder, and reading them again.
#include "vene/core/collect.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/full_disk.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "tests/unit/core/toy_model.h"
#include "tests/unit/models/helpers.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/interventions/pca.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/locations/gather.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;
using Texts = std::vector<std::vector<std::int64_t>>;

Texts random_texts(std::int64_t count, std::int64_t vocabulary, std::int64_t longest, std::uint32_t seed = 3) {
  std::mt19937 random(seed);
  Texts texts;
  for (std::int64_t i = 0; i < count; ++i) {
    texts.emplace_back();
    const auto length = static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(longest)) + 1;
    for (std::int64_t p = 0; p < length; ++p)
      texts.back().push_back(static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(vocabulary)));
  }
  return texts;
}

std::string jsonl(const Texts& texts) {
  std::string lines;
  for (const auto& ids : texts) {
    std::string list;
    for (const std::int64_t id : ids) list += (list.empty() ? "" : ", ") + std::to_string(id);
    lines += "{\"ids\": [" + list + "]}\n";
  }
  return lines;
}

// What a site holds for one text, by a hook of this test's own: [pos, ...], keys at the end; or [1, ...].
std::map<std::string, Tensor> by_hand(models::Model& model, const std::vector<std::int64_t>& ids,
                                      const std::vector<CollectedSite>& sites) {
  std::map<std::string, Tensor> values;
  HookTable table;
  for (const CollectedSite& wanted : sites) {
    const Site& site = model.sites().find(wanted.component.empty() ? wanted.path : wanted.component, wanted.layer);
    table.on(site.id, site.phase, [&values, &site, name = wanted.name](const HookContext& context) {
      Tensor value = split_heads(context.value().clone(), site);
      if (site.calls != CallOrder::kUnknown) {
        Tensor& all = values[name];
        const Tensor step = value[0].unsqueeze(0);
        all = !all.defined()                                ? step
              : site.calls == CallOrder::kPositionsBackward ? torch::cat({step, all}, 0)
                                                            : torch::cat({all, step}, 0);
        return;
      }
      const bool by_position = value_axes(site, value.dim()).size() > 2;
      if (value.dim() == 4 && value_axes(site, 4)[1] == Axis::kHead) value = value.transpose(1, 2);
      values[name] = by_position ? value[0] : value;
    });
  }
  const HookScope scope(table);
  model.forward(ids.empty() ? models::Batch{} : row_of(ids).to(model.device()));
  return values;
}

void expect_close(const Tensor& got, const Tensor& wanted, const std::string& what, double tolerance = 1e-5) {
  ASSERT_EQ(got.sizes(), wanted.sizes()) << what;
  const double scale = wanted.abs().max().item<double>() + 1e-30;
  const double error = (got.to(torch::kFloat64) - wanted.to(torch::kFloat64)).abs().max().item<double>();
  EXPECT_LE(error, tolerance * scale) << what;
}

std::map<std::string, std::string> bytes_of(const std::string& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::directory_iterator(folder))
    all[entry.path().filename().string()] = io::read_file(entry.path().string());
  return all;
}

class Collect : public testing::Test {
 protected:
  Collect() { lm_.model = toy_; }

  CollectReport collect_toy(const std::string& out, CollectOptions options = {}) {
    if (!fs::exists(folder_ / "data.jsonl")) folder_.write("data.jsonl", jsonl(texts_));
    return collect(lm_, folder_ / "data.jsonl", folder_ / out, options);
  }
  // Shards of a few texts each.
  static CollectOptions small() {
    CollectOptions options;
    options.sites = {"*"};
    options.shard_bytes = 8000;
    options.batch_tokens = 12;
    return options;
  }
  TestFolder folder_;
  std::shared_ptr<ToyModel> toy_ = ToyModel::make();
  models::LanguageModel lm_;
  Texts texts_ = random_texts(23, ToyModel::kVocabulary, 9);
};

// Every component of every model, of texts that share padded batches, against each text alone.
TEST_F(Collect, RaggedTextsHaveTheValuesThatEachHasAlone) {
  std::vector<std::pair<std::string, std::shared_ptr<models::Model>>> all;
  for (const std::string& name : golden_language_models()) all.emplace_back(name, golden_model(name));
  all.emplace_back("gru", models::load(std::string(kSourceFolder) + "/assets/landmarks-gru").model);
  for (const auto& [name, model] : all) {
    SCOPED_TRACE(name);
    const std::int64_t longest = model->context_length() > 0 ? std::min<std::int64_t>(model->context_length(), 11) : 11;
    const Texts texts = random_texts(7, model->vocabulary_size(), longest);
    const std::string data = folder_.write(name + ".jsonl", jsonl(texts)), out = folder_ / name;
    CollectOptions options;
    options.sites = {"*", "head_*"};
    options.batch_tokens = 3 * longest;
    options.shard_bytes = 60000;
    models::LanguageModel lm;
    lm.model = model;
    try {
      collect(lm, data, out, options);
    } catch (const PlanError& error) {
      // A model without any head_ component.
      ASSERT_THAT(error.what(), HasSubstr("no component of this model fits 'head_*'"));
      options.sites = {"*"};
      collect(lm, data, out, options);
    }
    const CollectedFolder folder = CollectedFolder::open(out);
    ASSERT_TRUE(folder.complete());
    ASSERT_EQ(folder.texts(), 7);
    for (std::size_t text = 0; text < texts.size(); ++text) {
      const auto expected = by_hand(*model, texts[text], folder.sites());
      for (const CollectedSite& site : folder.sites()) {
        expect_close(folder.of_text(site.name, static_cast<std::int64_t>(text)), expected.at(site.name),
                     site.name + " of text " + std::to_string(text), 2e-5);
      }
    }
  }
}

TEST_F(Collect, RowsAreThePositionsOfTheTextsInTheirOrder) {
  const CollectReport report = collect_toy("out", small());
  const CollectedFolder folder = CollectedFolder::open(folder_ / "out");
  EXPECT_GT(folder.shards(), 5);
  EXPECT_EQ(report.shards, folder.shards());
  EXPECT_EQ(folder.texts(), 23);
  std::int64_t rows = 0;
  std::vector<Tensor> expected;
  for (std::int64_t text = 0; text < 23; ++text) {
    const auto& ids = texts_[static_cast<std::size_t>(text)];
    EXPECT_EQ(folder.rows_of_text(text), std::pair(rows, rows + static_cast<std::int64_t>(ids.size())));
    for (std::size_t position = 0; position < ids.size(); ++position, ++rows) {
      const CollectedRow row = folder.row(rows);
      EXPECT_EQ(row.text, text);
      EXPECT_EQ(row.position, static_cast<std::int64_t>(position));
      EXPECT_EQ(row.token, ids[position]);
    }
    expected.push_back(by_hand(*toy_, ids, folder.sites()).at("mlp_output.1"));
  }
  EXPECT_EQ(folder.rows(), rows);
  const Tensor all = torch::cat(expected, 0);
  expect_close(folder.values("mlp_output.1"), all, "all rows");
  expect_close(folder.values("mlp_output.1", 5, rows - 3), all.slice(0, 5, rows - 3), "a range over shards");
  EXPECT_EQ(folder.values("mlp_output.1", 4, 4).sizes(), (std::vector<std::int64_t>{0, ToyModel::kWidth}));
  const Tensor picked = torch::tensor({rows - 1, std::int64_t{0}, std::int64_t{17}, std::int64_t{0}}, torch::kInt64);
  EXPECT_TRUE(folder.values("mlp_output.1", picked).equal(folder.values("mlp_output.1").index_select(0, picked)));
  EXPECT_EQ(folder.values("mlp_output.1", torch::empty({0}, torch::kInt64)).size(0), 0);
  const CollectedFolder copy = folder;  // copies share what they read
  EXPECT_TRUE(copy.values("mlp_output.1").equal(folder.values("mlp_output.1")));
}

TEST_F(Collect, PositionsAndLayersAndStoredTypesAreChosen) {
  CollectOptions options;
  options.sites = {"block_output", "embedding", "head_inner"};
  options.layers = std::vector<std::int64_t>{1};
  options.positions = {-1, 0};
  options.dtype = torch::kBFloat16;
  collect_toy("out", options);
  const CollectedFolder folder = CollectedFolder::open(folder_ / "out");
  std::vector<std::string> names;
  for (const CollectedSite& site : folder.sites()) names.push_back(site.name);
  EXPECT_THAT(names, testing::ElementsAre("block_output.1", "embedding", "head_inner.1"));
  EXPECT_EQ(folder.rows(), 46);
  EXPECT_EQ(folder.site("head_inner.1").shape, (std::vector<std::int64_t>{3, 2}));
  for (std::int64_t text = 0; text < 23; ++text) {
    const auto& ids = texts_[static_cast<std::size_t>(text)];
    const Tensor wanted = by_hand(*toy_, ids, folder.sites()).at("block_output.1");
    const Tensor got = folder.of_text("block_output.1", text);
    EXPECT_EQ(got.scalar_type(), torch::kBFloat16);
    expect_close(got, torch::stack({wanted[-1], wanted[0]}), "text " + std::to_string(text), 1e-2);
    EXPECT_EQ(folder.row(2 * text).position, static_cast<std::int64_t>(ids.size()) - 1);
    EXPECT_EQ(folder.row(2 * text + 1).token, ids[0]);
  }
}

TEST_F(Collect, WhatABarePathHoldsIsCollectedTokenIdsToo) {
  CollectOptions options;
  const models::LanguageModel gpt2{golden_model("gpt2_tied"), {}};
  options.sites = {"transformer.wte.input", "transformer.h.*.mlp.c_fc.input", "transformer.h.1.output"};
  collect(gpt2, folder_.write("data.jsonl", jsonl(random_texts(9, 20, 6))), folder_ / "out", options);
  const CollectedFolder folder = CollectedFolder::open(folder_ / "out");
  const Tensor ids = folder.values("transformer.wte.input");
  EXPECT_EQ(ids.scalar_type(), torch::kInt64);
  for (std::int64_t row = 0; row < folder.rows(); ++row)
    EXPECT_EQ(ids[row].item<std::int64_t>(), folder.row(row).token);
  EXPECT_EQ(folder.site("transformer.h.1.output").layer, 1);
  EXPECT_TRUE(folder.values("transformer.h.0.mlp.c_fc.input").defined());
}

TEST_F(Collect, ThePassEndsAfterTheLastLayerThatIsWanted) {
  int heads = 0;
  class Watched : public ToyModel {
   public:
    explicit Watched(int& heads) : heads_(heads) {}
    models::Output finish(const models::StageState& state, const Tensor& positions, const Tensor& tokens) override {
      ++heads_;
      return ToyModel::finish(state, positions, tokens);
    }
    int& heads_;
  };
  const auto watched = std::make_shared<Watched>(heads);
  lm_.model = watched;
  CollectOptions options;
  options.layers = std::vector<std::int64_t>{0, 1};
  collect_toy("out", options);
  const int forwards = watched->begun;
  EXPECT_EQ(heads, 0);
  EXPECT_EQ(watched->blocks_run, 2 * forwards);
}

TEST_F(Collect, AStoppedRunGoesOnWithTheSameBytes) {
  collect_toy("whole", small());
  const auto whole = bytes_of(folder_ / "whole");
  std::size_t steps = 0;
  CollectOptions counted = small();
  counted.progress = [&](std::size_t, std::size_t) { return ++steps > 0; };
  collect_toy("counted", counted);
  int resumed = 0;
  for (std::size_t stop = 1; stop < steps; ++stop) {
    const std::string out = "stopped" + std::to_string(stop);
    CollectOptions options = small();
    std::size_t step = 0;
    options.progress = [&](std::size_t, std::size_t) { return ++step < stop; };
    EXPECT_THAT([&] { collect_toy(out, options); }, ThrowsMessage<PlanError>(HasSubstr("collecting was cancelled")));
    if (!fs::exists(folder_ / (out + "/index.json"))) {
      EXPECT_FALSE(fs::exists(folder_ / out)) << stop;  // while the data was read nothing was made
      continue;
    }
    const CollectedFolder part = CollectedFolder::open(folder_ / out);
    EXPECT_FALSE(part.complete());
    EXPECT_EQ(part.values("block_output.0").size(0), part.rows());
    for (const auto& [name, bytes] : bytes_of(folder_ / out)) {
      EXPECT_FALSE(name.starts_with(".")) << name;
      if (name != "index.json") {
        EXPECT_EQ(bytes, whole.at(name)) << name;
      }
    }
    options = small();
    options.resume = true;
    std::size_t first = 99;
    options.progress = [&](std::size_t done, std::size_t all) {
      if (done > 0) first = std::min(first, all);
      return true;
    };
    const CollectReport report = collect_toy(out, options);
    EXPECT_EQ(report.kept_shards, part.shards());
    EXPECT_EQ(static_cast<std::int64_t>(first), 23 - part.texts());  // of what is left to do
    EXPECT_EQ(bytes_of(folder_ / out), whole) << stop;
    ++resumed;
  }
  EXPECT_GT(resumed, 20);
}

TEST_F(Collect, AShardThatIsGoneIsMadeAgain) {
  collect_toy("out", small());
  const auto whole = bytes_of(folder_ / "out");
  fs::remove(folder_ / "out/values-00002.safetensors");
  EXPECT_THAT(
      [&] { CollectedFolder::open(folder_ / "out").values("block_output.0"); },
      ThrowsMessage<IoError>(HasSubstr("values-00002.safetensors: is missing, and the index beside it names it")));
  CollectOptions options = small();
  options.resume = true;
  EXPECT_EQ(collect_toy("out", options).kept_shards, static_cast<std::int64_t>(whole.size()) - 2);
  EXPECT_EQ(bytes_of(folder_ / "out"), whole);
}

TEST_F(Collect, AnotherRunIsNotGoneOnWith) {
  collect_toy("out", small());
  const auto whole = bytes_of(folder_ / "out");
  const auto refused = [&](const std::string& why, CollectOptions options) {
    options.resume = true;
    EXPECT_THAT([&] { collect_toy("out", options); }, ThrowsMessage<IoError>(HasSubstr(why))) << why;
    EXPECT_EQ(bytes_of(folder_ / "out"), whole) << why;
  };
  CollectOptions options = small();
  options.sites = {"block_output"};
  refused("out/index.json: holds other sites (embedding in float32, block_input.0 in float32", options);
  options = small();
  options.dtype = torch::kFloat16;
  refused("asked for are embedding in float16", options);
  options = small();
  options.positions = {-1};
  refused("was collected with positions all, now it is [-1]", options);
  options = small();
  options.max_tokens = 8;
  refused("was collected from other data (23 texts, digest ", options);
  options = small();
  options.max_tokens = 9;
  refused("was collected with max_tokens 0, now it is 9", options);
  options = small();
  options.batch_tokens = 13;
  refused("was collected with batch_tokens 12, now it is 13", options);
  options = small();
  options.shard_bytes = 8001;
  refused("was collected with shard_bytes 8000, now it is 8001; resume goes on with the same model, sites, options",
          options);
  lm_.model = ToyModel::make(8);
  refused("was collected from another model (toy of 3 layers and width 6 in float32, weights ", small());
  lm_.model = toy_;
  folder_.write("data.jsonl", jsonl(random_texts(23, ToyModel::kVocabulary, 9, 4)));
  refused("was collected from other data (23 texts, digest ", small());
}

TEST_F(Collect, ResumeNeedsARunAndABeginningNeedsAnEmptyFolder) {
  CollectOptions options = small();
  options.resume = true;
  EXPECT_THAT([&] { collect_toy("out", options); },
              ThrowsMessage<IoError>(HasSubstr("out: has no index.json, so there is nothing to resume")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  fs::create_directory(folder_ / "out");
  folder_.write("out/notes", "mine");
  EXPECT_THAT([&] { collect_toy("out"); }, ThrowsMessage<IoError>(HasSubstr("out: is not empty; resume goes on with")));
}

TEST_F(Collect, BrokenShardsAndIndexesAreRefusedByName) {
  collect_toy("out", small());
  const auto whole = bytes_of(folder_ / "out");
  const auto put_back = [&] {
    for (const auto& [name, bytes] : whole) folder_.write("out/" + name, bytes);
  };
  const auto refused = [&](const std::string& why) {
    EXPECT_THAT([&] { CollectedFolder::open(folder_ / "out").values("block_output.0"); },
                ThrowsMessage<IoError>(HasSubstr(why)))
        << why;
  };
  const std::string name = "values-00001.safetensors";
  folder_.write("out/" + name, whole.at(name).substr(0, whole.at(name).size() - 5));
  refused(name);
  CollectOptions options = small();
  options.resume = true;
  EXPECT_THAT([&] { collect_toy("out", options); },
              ThrowsMessage<IoError>(HasSubstr("; without that file, resume makes it again")));
  put_back();
  folder_.write("out/" + name, whole.at("values-00002.safetensors"));
  refused(name + ": is a shard of another run than the index beside it is of");
  put_back();
  CollectOptions other = small();
  other.max_tokens = 100;
  collect_toy("other", other);
  folder_.write("out/" + name, io::read_file(folder_ / ("other/" + name)));
  refused(name + ": is a shard of another run than the index beside it is of");
  put_back();
  io::NamedTensors tensors = io::read_tensors(folder_ / ("out/" + name));
  const auto metadata = io::Safetensors::open(folder_ / ("out/" + name)).metadata();
  for (auto& [tensor_name, tensor] : tensors)
    tensor = tensor_name == "block_output.0" ? tensor.narrow(0, 1, 2).clone() : tensor.clone();
  io::write_safetensors(folder_ / ("out/" + name), tensors, metadata);
  refused("'block_output.0' is float32 [2, 6], and the index says float32 [");
  put_back();
  const auto index = [&](const std::string& from, const std::string& to) {
    std::string text = whole.at("index.json");
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    folder_.write("out/index.json", text.replace(at, from.size(), to));
  };
  for (const auto& [from, to, why] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"vene collected values", "something", "index.json: format: expected \"vene collected values\""},
           {"\"format_version\": 1", "\"format_version\": 2", "format_version: expected 1, which this version reads"},
           {"\"first_text\": 0", "\"first_text\": 1", "shards[0]: does not begin where the shard before it ends"},
           {"\"texts\": 23", "\"texts\": 2", "shards: hold more texts than the data has"},
           {"values-00000", "values-00007", "shards[0].file: expected 'values-00000.safetensors'"},
           {"\"float32\",\n      \"rows\"", "\"float23\",\n      \"rows\"", "unknown dtype 'float23'; did you mean"},
           {"{", "[", "index.json: "}}) {
    index(from, to);
    refused(why);
  }
  put_back();
  EXPECT_THAT([&] { CollectedFolder::open(folder_ / "nowhere"); }, ThrowsMessage<IoError>(HasSubstr("index.json")));
}

TEST_F(Collect, AReaderAsksForWhatIsThere) {
  collect_toy("out", small());
  const CollectedFolder folder = CollectedFolder::open(folder_ / "out");
  const auto refused = [&](const std::string& why, const std::function<void()>& read) {
    EXPECT_THAT(read, ThrowsMessage<PlanError>(HasSubstr(why)));
  };
  const std::string rows = std::to_string(folder.rows());
  refused("holds no values of 'block_output.9'; did you mean 'block_output.0'",
          [&] { folder.values("block_output.9"); });
  refused("rows 0 to 999 of 'block_output.0' are not among its " + rows,
          [&] { folder.values("block_output.0", 0, 999); });
  refused("row -1 of 'block_output.0' is not among its " + rows,
          [&] { folder.values("block_output.0", torch::tensor({-1}, torch::kInt64)); });
  refused("row " + rows + " is not among its " + rows, [&] { folder.row(folder.rows()); });
  refused("text 23 is not among its 23", [&] { folder.of_text("block_output.0", 23); });
}

TEST_F(Collect, WhatIsWrongWithALineIsToldWithItsNumberBeforeAnythingIsMade) {
  const auto refused = [&](const std::string& line, const std::string& why) {
    folder_.write("data.jsonl", "{\"ids\": [1, 2]}\n\n" + line + "\n");
    try {
      collect_toy("out", small());
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("data.jsonl line 3: "));
      EXPECT_THAT(error.what(), HasSubstr(why)) << line;
    }
    EXPECT_FALSE(fs::exists(folder_ / "out")) << line;
  };
  refused("{\"ids\": [1, 2", "line 1, column");
  refused("[1, 2]", "expected an object such as {\"text\": \"...\"}, got [1,2]");
  refused("{\"idss\": [1]}", "expected an object with \"text\" or \"ids\", got neither");
  refused("{\"ids\": [1], \"text\": \"a\"}", "expected \"text\" or \"ids\", got both");
  refused("{\"ids\": []}", "ids: expected a list of token ids, got []");
  refused("{\"text\": \"\"}", "expected a text of at least one token");
  refused("{\"ids\": [1, \"a\"]}", "ids[1]");
  refused("{\"text\": \"a\"}", "this model has no tokenizer; give \"ids\" in a .jsonl file");
  folder_.write("data.jsonl", "\n  \n");
  EXPECT_THAT([&] { collect_toy("out"); }, ThrowsMessage<ConfigError>(HasSubstr("expected one text a line, got none")));
  CollectOptions options;
  options.positions = {2};
  folder_.write("data.jsonl", "{\"ids\": [1, 2, 3]}\n{\"ids\": [1, 2]}\n");
  EXPECT_THAT(
      [&] { collect_toy("out", options); },
      ThrowsMessage<LocationError>(HasSubstr("data.jsonl line 2: position 2 is out of range, the text has 2 tokens")));
  lm_.model = golden_model("gpt2_tied");
  folder_.write("data.jsonl", jsonl({std::vector<std::int64_t>(5000, 1)}));
  EXPECT_THAT(
      [&] { collect_toy("out"); },
      ThrowsMessage<ModelError>(HasSubstr("data.jsonl line 1: the text has 5000 tokens, and the model reads ")));
  folder_.write("data.jsonl", "{\"ids\": [1, 99999999]}\n");
  EXPECT_THAT([&] { collect_toy("out"); }, ThrowsMessage<ModelError>(HasSubstr("data.jsonl line 1: ")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(Collect, OptionsAndSitesThatCannotBeAreRefused) {
  const auto refused = [&](const std::string& why, const CollectOptions& options) {
    EXPECT_THAT([&] { collect_toy("out", options); },
                testing::Throws<Error>(testing::Property(&Error::what, HasSubstr(why))));
    EXPECT_FALSE(fs::exists(folder_ / "out")) << why;
  };
  CollectOptions options;
  options.sites = {};
  refused("sites: expected at least one component name, path or pattern", options);
  options = {};
  options.layers = std::vector<std::int64_t>{};
  refused("layers: expected at least one", options);
  options = {};
  options.shard_bytes = 0;
  refused("shard_bytes: expected at least 1, got 0", options);
  options = {};
  options.max_tokens = -1;
  refused("max_tokens: expected at least 0, got -1", options);
  options = {};
  options.sites = {"block_outptu"};
  refused("no component 'block_outptu'; did you mean 'block_output'?", options);
  EXPECT_THAT([&] { collect(lm_, folder_.path(), folder_ / "out"); },
              ThrowsMessage<IoError>(HasSubstr("is a folder; expected a file of texts")));
  EXPECT_THAT([&] { collect(lm_, "/dev/zero", folder_ / "out"); },
              ThrowsMessage<IoError>(HasSubstr("is a pipe or a device; texts are read twice")));
  EXPECT_THAT([&] { collect(lm_, folder_ / "none", folder_ / "out"); }, ThrowsMessage<IoError>(HasSubstr("none")));
  lm_.model = models::load(std::string(kSourceFolder) + "/tests/golden/models/mlp_classifier").model;
  refused("collecting reads texts, and mlp takes no tokens", {});
}

TEST_F(Collect, ASiteThatTheModelDoesNotReachIsRefused) {
  class Unreached : public ToyModel {
   public:
    Unreached() {
      register_module("aside", aside);
      sites_.add_paths(*this);
    }
    HookPoint aside;
  };
  lm_.model = std::make_shared<Unreached>();
  CollectOptions options;
  options.sites = {"block_output", "aside.output"};
  EXPECT_THAT([&] { collect_toy("out", options); },
              ThrowsMessage<PlanError>(HasSubstr("the model did not reach aside.output in this run")));
}

TEST_F(Collect, AFullDiskLeavesFinishedShardsReadable) {
  collect_toy("whole", small());
  std::optional<FileSizeLimit> limit;
  CollectOptions options = small();
  options.progress = [&](std::size_t done, std::size_t) {
    if (done > 8 && !limit) limit.emplace(3000);
    return true;
  };
  EXPECT_THAT([&] { collect_toy("out", options); }, ThrowsMessage<IoError>(HasSubstr("cannot write")));
  limit.reset();
  const CollectedFolder part = CollectedFolder::open(folder_ / "out"), whole = CollectedFolder::open(folder_ / "whole");
  ASSERT_GT(part.rows(), 0);
  ASSERT_FALSE(part.complete());
  EXPECT_TRUE(part.values("inner.2").equal(whole.values("inner.2", 0, part.rows())));
  for (const auto& entry : fs::directory_iterator(folder_ / "out"))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  options = small();
  options.resume = true;
  collect_toy("out", options);
  EXPECT_EQ(bytes_of(folder_ / "out"), bytes_of(folder_ / "whole"));
}

// Principal components of what lies on disk are those of what lies in memory.
TEST_F(Collect, PrincipalComponentsAreFittedFromAFolder) {
  collect_toy("out", small());
  const CollectedFolder folder = CollectedFolder::open(folder_ / "out");
  std::vector<Tensor> rows;
  for (const auto& ids : texts_) rows.push_back(by_hand(*toy_, ids, folder.sites()).at("block_output.2"));
  const auto make = [] {
    IntervenableConfig config = IntervenableConfig::parse(
        R"({"layer": 2, "component": "block_output", "intervention_type": "pca_rotated_space", "low_rank_dimension": 4})");
    return config;
  };
  const auto fitted = [&](const Tensor& activations) {
    const auto built = build_interventions(make(), *toy_).front();
    auto& pca = dynamic_cast<PCARotatedSpace&>(*built);
    pca.fit(activations);
    return std::tuple(pca.pca_components.clone(), pca.pca_mean.clone(), pca.explained_variance_ratio.clone());
  };
  const auto [components, mean, ratio] = fitted(folder.values("block_output.2"));
  const auto [own_components, own_mean, own_ratio] = fitted(torch::cat(rows, 0));
  expect_close(components, own_components, "components", 1e-4);
  expect_close(mean, own_mean, "mean");
  expect_close(ratio, own_ratio, "explained variance");
}

}  // namespace
}  // namespace vene

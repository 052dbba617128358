// SPDX-License-Identifier: Apache-2.0
// Every intervention at every component and unit, with locations and without: a row of a batch, padded on the left, on
// the right, more than it must be, and beside longer and shorter rows, gets what it gets alone.

#include "tests/unit/core/generate_helpers.h"
#include "vene/interventions/numpy_random.h"
#include "vene/models/gru.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using namespace vene_test;

const std::vector<std::vector<std::int64_t>> kBases = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};
const std::vector<std::vector<std::int64_t>> kSources = {{7, 7, 19, 4, 2, 11}, {33, 4, 2}, {21, 11, 40, 3}};

// How the rows of a batch lie: `extra` columns are padding in every row.
struct Layout {
  bool base_left, source_left;
  std::int64_t extra_base, extra_source;
};
const std::vector<Layout> kLayouts = {
    {true, true, 0, 0}, {false, false, 1, 0}, {true, false, 0, 2}, {false, true, 0, 1}};

models::Batch laid_out(std::vector<std::vector<std::int64_t>> rows, bool left, std::int64_t extra, std::int64_t token) {
  // A row that is longer than all makes the columns, and is taken out again.
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  rows.emplace_back(longest + static_cast<std::size_t>(extra), 1);
  models::Batch batch = padded(rows, left);
  const std::int64_t count = batch.rows() - 1;
  batch.attention_mask = batch.attention_mask.narrow(0, 0, count);
  batch.input_ids = torch::where(batch.attention_mask.ne(0), batch.input_ids.narrow(0, 0, count), token);
  return batch;
}

// Attention's hidden scores hold the lowest number, beside which nothing else would count.
Tensor shown(const Tensor& value) {
  return value.clamp_min(-1e4);
}

Locations parse(const std::string& json) {
  return json.empty() ? Locations{} : Locations::parse(json);
}

struct Case {
  std::string representation;  // JSON
  std::string locations;       // JSON, or nothing
  bool source = false;
  bool vectors = false;  // the model takes vectors made of the ids
};

class RowsAlone {
 public:
  explicit RowsAlone(std::shared_ptr<models::Model> model) : model_(std::move(model)) {}

  // False where the intervention cannot be built there.
  bool holds(const Case& one) {
    std::optional<IntervenableModel> built;
    try {
      built.emplace(IntervenableConfig::parse("[" + one.representation + "]"), model_);
    } catch (const PlanError& error) {
      EXPECT_THAT(error.what(), HasSubstr("is made for the width of its site")) << one.representation;
      return false;
    }
    std::vector<Result> alone;
    for (std::size_t row = 0; row < kBases.size(); ++row)
      alone.push_back(run(*built, one, row_of(kBases[row]), row_of(kSources[row])));
    for (const Layout& layout : kLayouts) {
      // Whatever token the padding is, it is not seen.
      const Result all = run(*built, one, laid_out(kBases, layout.base_left, layout.extra_base, 13),
                             laid_out(kSources, layout.source_left, layout.extra_source, 14));
      for (std::size_t row = 0; row < kBases.size(); ++row) compare(one, layout, all, alone[row], row);
    }
    ++cases;
    return true;
  }
  int cases = 0;

 private:
  Result run(IntervenableModel& built, const Case& one, const models::Batch& base, const models::Batch& source) {
    RunRequest request;
    request.base = base;
    if (one.source) request.sources = {source};
    request.locations = parse(one.locations);
    return built->forward(request);
  }

  void compare(const Case& one, const Layout& layout, const Result& all, const Result& alone, std::size_t row) {
    const auto at = static_cast<std::int64_t>(row), length = static_cast<std::int64_t>(kBases[row].size());
    Tensor output = all.intervened.primary()[at];
    if (output.dim() == 2) output = output.narrow(0, layout.base_left ? output.size(0) - length : 0, length);
    EXPECT_LE(relative_error(output, alone.intervened.primary()[0]), 1e-5)
        << one.representation << " " << one.locations << ", row " << row << ", left " << layout.base_left
        << layout.source_left;
    if (alone.collected.empty()) return;
    const Collected& together = all.collected[0];
    Tensor value = together.value[at];
    const Tensor own = alone.collected[0].value[0];
    if (together.valid.defined()) {
      std::int64_t count = 1;
      for (std::int64_t dim = 0; dim + 1 < together.valid.dim(); ++dim) count *= own.size(dim);
      EXPECT_EQ(together.valid[at].sum().item<std::int64_t>(), count) << one.representation << one.locations;
    }
    for (std::int64_t dim = 0; dim < own.dim(); ++dim) value = value.narrow(dim, 0, own.size(dim));
    EXPECT_LE(relative_error(shown(value), shown(own)), 1e-5)
        << one.representation << " " << one.locations << ", row " << row << ", left " << layout.base_left;
  }

  std::shared_ptr<models::Model> model_;
};

// What is done, and whether it reads a source. A fitted rotation exchanges as the others do, and wants a fit first.
const std::vector<std::pair<std::string, bool>> kInterventions = {
    {R"("vanilla")", true},
    {R"("addition")", true},
    {R"("zero")", false},
    {R"("noise", "level": 0.7)", false},
    {R"("collect")", false},
    {R"("subtraction")", true},
    {R"("rotated_space", "seed": 1)", true},
    {R"("low_rank_rotated_space", "low_rank_dimension": 2, "seed": 1)", true},
    {R"("directions", "count": 2, "seed": 1)", true},
    {R"("boundless_rotated_space", "seed": 1)", true},
    {R"("sigmoid_mask_rotated_space", "seed": 1)", true},
    {R"("sigmoid_mask")", true},
    {R"("autoencoder", "latent_dim": 5, "seed": 1)", true},
    {R"("jump_relu_autoencoder", "latent_dim": 5)", true},
    {R"("scale", "factor": -0.5)", false},
    {R"("clamp", "minimum": -0.1, "maximum": 0.2)", false},
    {R"("set", "value": 0.25)", false},
};

// The learned ones do to each vector what they do to it anywhere, and take their time: they are tried where values are
// of every kind.
constexpr std::size_t kPlain = 6;
bool is_tried(std::size_t intervention, const Site& site) {
  const std::vector<std::string> learned{"block_output", "head_value_output", "mlp_activation", "logits",
                                         "cell_output"};
  return intervention < kPlain || std::find(learned.begin(), learned.end(), site.component) != learned.end();
}

bool has(const Site& site, Axis axis) {
  return std::find(site.axes.begin(), site.axes.end(), axis) != site.axes.end();
}

// The units of a site, each with locations.
std::vector<std::pair<std::string, std::string>> units_of(const Site& site, bool all) {
  std::vector<std::pair<std::string, std::string>> units;
  if (has(site, Axis::kPos)) {
    units.emplace_back("pos", R"({"sources->base": ["last", "first"]})");
    if (all) units.emplace_back("pos", R"({"base": [0, -1]})");
  }
  if (!has(site, Axis::kHead)) return units;
  units.emplace_back("h", R"({"base": [1, 0]})");
  units.emplace_back("h.pos", R"({"base": {"h": [1], "pos": [-1, 1]}})");
  return units;
}

int check_model(const std::shared_ptr<models::Model>& model, std::int64_t layer, std::size_t interventions, bool all) {
  const torch::NoGradGuard no_grad;
  RowsAlone rows(model);
  for (const Site& site : model->sites().all()) {
    if (site.component.empty() || (site.layer >= 0 && site.layer != layer)) continue;
    for (std::size_t i = 0; i < interventions; ++i) {
      const auto& [intervention, source] = kInterventions[i];
      if (!is_tried(i, site)) continue;
      std::string last_unit;
      for (const auto& [unit, locations] : units_of(site, all)) {
        const std::string representation = R"({"component": ")" + site.component + R"(", "layer": )" +
                                           std::to_string(std::max<std::int64_t>(site.layer, 0)) + R"(, "unit": ")" +
                                           unit + R"(", "intervention_type": )" + intervention + "}";
        if (unit != last_unit) {
          last_unit = unit;
          if (!rows.holds({representation, "", source})) break;
        }
        rows.holds({representation, locations, source});
      }
    }
  }
  return rows.cases;
}

TEST(RowsAloneTest, AtEveryComponentOfGPT2) {
  EXPECT_GT(check_model(small_gpt2(), 1, kInterventions.size(), true), 400);
}

TEST(RowsAloneTest, WithGroupedHeads) {
  EXPECT_GT(check_model(small_llama(), 1, 5, false), 200);
}

class RowsAloneOf : public testing::TestWithParam<const char*> {};

TEST_P(RowsAloneOf, EachOtherArchitecture) {
  EXPECT_GT(check_model(golden_model(GetParam()), 0, 5, false), 200);
}

INSTANTIATE_TEST_SUITE_P(Goldens, RowsAloneOf,
                         testing::Values("gpt_neox_parallel", "gpt_neo_tied", "bert_tied", "esm_rotary",
                                         "mistral_local"),
                         [](const auto& info) { return std::string(info.param); });

TEST(RowsAloneTest, AtEveryStepOfARecurrentCell) {
  torch::manual_seed(5);
  const auto model = std::make_shared<models::GRU>(models::GRUOptions{.h_dim = 12,
                                                                      .n_layer = 2,
                                                                      .include_emb = true,
                                                                      .vocab_size = 60,
                                                                      .max_position_embeddings = 32,
                                                                      .head = models::GRUHead::kLanguageModel});
  const torch::NoGradGuard no_grad;
  RowsAlone rows(model);
  for (const Site& site : model->sites().all()) {
    if (site.component.empty() || site.layer != 1) continue;
    for (std::size_t i = 0; i < kInterventions.size(); ++i) {
      const auto& [intervention, source] = kInterventions[i];
      if (!is_tried(i, site)) continue;
      const std::string representation = R"({"component": ")" + site.component +
                                         R"(", "layer": 1, "unit": "t", "intervention_type": )" + intervention + "}";
      rows.holds({representation, "", source});
      rows.holds({representation, R"({"base": [-1, 0]})", source});
    }
  }
  EXPECT_GT(rows.cases, 150);
}

TEST(RowsAloneTest, AtABarePathToo) {
  const torch::NoGradGuard no_grad;
  RowsAlone rows(small_gpt2());
  for (const char* path : {"transformer.h[1].attn.c_attn.output", "transformer.h[1].mlp.c_fc.output",
                           "transformer.h[1].ln_2.input", "transformer.h[0].attn.resid_dropout.input",
                           "transformer.h[1].attn.attn_dropout.input", "transformer.output"}) {
    for (const auto& [intervention, source] : {kInterventions[0], kInterventions[2], kInterventions[3]}) {
      const std::string representation =
          std::string(R"({"component": ")") + path + R"(", "intervention_type": )" + intervention + "}";
      EXPECT_TRUE(rows.holds({representation, "", source}));
      EXPECT_TRUE(rows.holds({representation, R"({"base": [1, -1]})", source}));
    }
  }
}

// --- what is refused ------------------------------------------------------------------------------
class Refused : public testing::Test {
 protected:
  std::shared_ptr<models::GPT2> model = small_gpt2();
  const std::vector<std::vector<std::int64_t>> others = {{7, 7, 19, 4, 2, 11}, {33, 4}, {21, 11, 40, 3}};

  void expect_refused(const std::string& config, const models::Batch& base, const models::Batch& source,
                      const std::string& locations, const std::string& message) {
    IntervenableModel built(IntervenableConfig::parse(config), model);
    EXPECT_THAT([&] { built->forward({.base = base, .sources = {source}, .locations = parse(locations)}); },
                ThrowsMessage<LocationError>(HasSubstr(message)))
        << config;
  }
};

TEST_F(Refused, AttentionOfATextOfAnotherLengthIsRefusedRowByRow) {
  for (const char* component : {"attention_pattern", "attention_scores"}) {
    for (const char* unit : {R"("pos")", R"("h.pos")", R"("h")"}) {
      const std::string config =
          std::string(R"([{"layer": 1, "component": ")") + component + R"(", "unit": )" + unit + "}]";
      const std::string named = unit == std::string(R"("pos")") ? R"({"base": 1})"
                                : unit == std::string(R"("h")") ? R"({"base": [0, 1]})"
                                                                : R"({"base": {"h": [0, 1], "pos": "last"}})";
      const std::string message = "row 1: the source's text has 2 positions, that of what it writes into 3; " +
                                  std::string(component) + " holds a number for every position that is looked at";
      for (const bool left : {false, true}) {
        for (const std::string& locations : {named, std::string()})
          expect_refused(config, padded(kBases, left), padded(others, !left), locations, message);
      }
    }
  }
  // A source of one row, and one of a single token, which serves all elsewhere.
  expect_refused(R"([{"layer": 1, "component": "attention_pattern"}])", padded(kBases, true), row_of(kBases[0]),
                 R"({"base": "last"})", "row 1: the source's text has 6 positions, that of what it writes into 3");
  expect_refused(R"([{"layer": 1, "component": "attention_scores"}])", row_of(kBases[1]), row_of({4}), R"({"base": 0})",
                 "row 0: the source's text has 1 positions, that of what it writes into 3");
}

TEST_F(Refused, ARowThatIsLeftAloneNeedsNoSourceOfItsLength) {
  IntervenableModel built(IntervenableConfig::parse(R"([{"layer": 1, "component": "attention_pattern"}])"), model);
  const Tensor all = built
                         ->forward({.base = padded(kBases, false),
                                    .sources = {padded(others, true)},
                                    .locations = parse(R"({"base": [[-1], [], [0, 2]]})")})
                         .intervened.logits;
  EXPECT_LE(relative_error(all[1].narrow(0, 0, 3), model->forward(row_of(kBases[1])).logits[0]), 1e-5);
  const Tensor alone =
      built
          ->forward(
              {.base = row_of(kBases[2]), .sources = {row_of(others[2])}, .locations = parse(R"({"base": [0, 2]})")})
          .intervened.logits[0];
  EXPECT_LE(relative_error(all[2].narrow(0, 0, 4), alone), 1e-5);
}

TEST_F(Refused, WithoutLocationsARowAndBothLengthsAreNamed) {
  for (const char* config :
       {R"([{"layer": 1}])", R"([{"layer": 1, "component": "head_value_output", "unit": "h.pos"}])",
        R"([{"layer": 1, "component": "head_value_output", "unit": "h"}])"}) {
    expect_refused(config, padded(kBases, true), padded(others, false), "",
                   "row 1: the source has 2 positions, what it writes into has 3; name the positions");
  }
  expect_refused(R"([{"component": "transformer.h.1.mlp.c_fc.output"}])", padded(kBases, true), padded(others, false),
                 "", "row 1: 2 source units for 3 base units");
}

TEST_F(Refused, ASourceRowOfOneTokenServesItsRow) {
  IntervenableModel built(IntervenableConfig::parse(R"([{"layer": 1}])"), model);
  const std::vector<std::vector<std::int64_t>> sources = {{7}, {33, 4, 2}, {9}};
  const Tensor all =
      built->forward({.base = padded(kBases, true), .sources = {padded(sources, false)}}).intervened.logits;
  for (std::size_t row = 0; row < kBases.size(); ++row) {
    const auto at = static_cast<std::int64_t>(row), length = static_cast<std::int64_t>(kBases[row].size());
    const Tensor alone =
        built->forward({.base = row_of(kBases[row]), .sources = {row_of(sources[row])}}).intervened.logits[0];
    EXPECT_LE(relative_error(all[at].narrow(0, 6 - length, length), alone), 1e-5) << row;
  }
}

TEST_F(Refused, AMaskWithAHole) {
  models::Batch base = row_of({5, 6, 7, 8}), source = row_of({5, 6, 7, 8});
  IntervenableModel built(IntervenableConfig::parse(R"([{"layer": 0}])"), model);
  const auto run = [&] { built->forward({.base = base, .sources = {source}, .locations = at(1)}); };
  base.attention_mask = torch::tensor({{1, 0, 1, 1}});
  EXPECT_THAT(run, ThrowsMessage<PlanError>(HasSubstr("base, row 0: the attention mask has a hole between tokens")));
  base.attention_mask = torch::Tensor();
  source.attention_mask = torch::tensor({{0, 1, 0, 1}});
  EXPECT_THAT(run,
              ThrowsMessage<PlanError>(HasSubstr("sources[0], row 0: the attention mask has a hole between tokens")));
  source.attention_mask = torch::tensor({{0, 1, 1, 1}});
  EXPECT_NO_THROW(run());
}

TEST_F(Refused, APlanForAnotherPadding) {
  IntervenableModel built(IntervenableConfig::parse(R"([{"layer": 0, "intervention_type": "zero"}])"), model);
  const models::Batch left = padded(kBases, true), right = padded(kBases, false);
  const Plan plan = built->compile({.base = left});
  EXPECT_NO_THROW(run(plan, left));
  EXPECT_NO_THROW(run(plan, {left.input_ids, left.attention_mask.clone(), {}, {}}));
  EXPECT_THAT([&] { run(plan, right); },
              ThrowsMessage<PlanError>(HasSubstr("base is padded otherwise than what the plan was compiled for")));
}

TEST_F(Refused, PyvenesNameOfThePattern) {
  EXPECT_THAT(
      [&] {
        IntervenableModel(IntervenableConfig::parse(R"([{"layer": 1, "component": "attention_weight"}])"), model)
            ->forward({.base = row_of({5, 6}), .sources = {row_of({5, 6})}});
      },
      ThrowsMessage<PlanError>(HasSubstr("no component 'attention_weight'; did you mean 'attention_pattern'?")));
}

// --- noise ----------------------------------------------------------------------------------------
TEST(NoiseTest, EachHeadGetsTheSameDrawAndEachPositionItsOwn) {
  const auto model = small_gpt2();
  const models::Batch base = row_of(kBases[0]);
  const double level = 0.5;
  const Tensor draw = (numpy_randn(1, {1, 6, 4}) * level).to(torch::kFloat32);
  for (const char* unit : {"pos", "h", "h.pos"}) {
    for (const bool named : {false, true}) {
      IntervenableModel built(
          IntervenableConfig::parse(
              std::string(
                  R"([{"layer": 1, "component": "head_value_output", "intervention_type": "noise", "level": 0.5, "unit": ")") +
              unit + R"("}, {"layer": 1, "component": "head_value_output", "intervention_type": "collect"}])"),
          model);
      const std::string locations = unit == std::string("pos") ? R"("all")"
                                    : unit == std::string("h") ? "[0, 1, 2, 3]"
                                                               : R"({"h": [0, 1, 2, 3], "pos": "all"})";
      const Tensor clean = value_at(*model, base, "head_value_output", 1).view({6, 4, 4});
      const Result result = built->forward(
          {.base = base, .locations = parse(named ? R"({"base": [)" + locations + ", null]}" : std::string())});
      const Tensor expected = clean + draw[0].unsqueeze(1);  // [pos, head, width]
      EXPECT_LE(relative_error(result.collected[0].value[0], expected), 1e-6) << unit << named;
    }
  }
}

TEST(NoiseTest, AGenerationsRowsSayWhatTheySayAlone) {
  for (const std::shared_ptr<models::Model>& model :
       std::vector<std::shared_ptr<models::Model>>{small_gpt2(), small_llama()}) {
    for (const char* component :
         {"embedding", "block_output", "head_query_output", "attention_scores", "attention_pattern"}) {
      for (const char* when : {"prompt", "decode", "both"}) {
        IntervenableModel built(
            IntervenableConfig::parse(std::string(R"([{"layer": 1, "component": ")") + component +
                                      R"(", "intervention_type": "noise", "level": 1.5, "when": ")" + when + R"("}])"),
            model);
        for (const bool cached : {true, false}) {
          const GenerateOptions options{.max_new_tokens = 4, .use_cache = cached, .keep_logits = true};
          const Generated all = built->generate({.base = padded(kBases, false)}, options).intervened;
          for (std::size_t row = 0; row < kBases.size(); ++row) {
            const Generated alone = built->generate({.base = row_of(kBases[row])}, options).intervened;
            EXPECT_EQ(ids_of(all)[row], ids_of(alone)[0]) << component << when << cached << row;
            EXPECT_LE(relative_error(all.logits[static_cast<std::int64_t>(row)], alone.logits[0]), 1e-5)
                << component << when << cached << row;
          }
        }
      }
    }
  }
}

TEST(GenerationKeys, APatternOfTheSourcesStepGoesIntoTheSameStep) {
  const auto model = small_gpt2();
  for (const char* unit : {"pos", "h"}) {
    IntervenableModel built(
        IntervenableConfig::parse(std::string(R"([{"layer": 1, "component": "attention_pattern", "unit": ")") + unit +
                                  R"("}])"),
        model);
    for (const bool cached : {true, false}) {
      const GenerateOptions options{.max_new_tokens = 4, .use_cache = cached, .keep_logits = true};
      const auto generate = [&](const models::Batch& base, const models::Batch& source, SourceSteps steps) {
        return built
            ->generate({.base = base,
                        .sources = {source},
                        .generation = Generation{.when = When::both(), .source_steps = steps}},
                       options)
            .intervened;
      };
      const Generated all = generate(padded(kBases, true), padded(kSources, false), SourceSteps::kSame);
      for (std::size_t row = 0; row < kBases.size(); ++row) {
        const Generated alone = generate(row_of(kBases[row]), row_of(kSources[row]), SourceSteps::kSame);
        EXPECT_LE(relative_error(all.logits[static_cast<std::int64_t>(row)], alone.logits[0]), 1e-5) << unit << row;
      }
      EXPECT_THAT([&] { generate(row_of(kBases[0]), row_of(kSources[0]), SourceSteps::kPrompt); },
                  ThrowsMessage<PlanError>(HasSubstr("let the source decode too (source_steps \"same\")")));
    }
  }
}

TEST(ConstantSources, OfEachPositionGoIntoEachRowsOwn) {
  IntervenableModel built(IntervenableConfig::parse(R"([{"layer": 1}])"), small_gpt2());
  const Tensor values = torch::randn({3, 6, 16});
  for (const bool left : {false, true}) {
    const Tensor all =
        built->forward({.base = padded(kBases, left), .source_representations = {values}}).intervened.logits;
    for (std::size_t row = 0; row < kBases.size(); ++row) {
      const auto at = static_cast<std::int64_t>(row), length = static_cast<std::int64_t>(kBases[row].size());
      const Tensor alone = built
                               ->forward({.base = row_of(kBases[row]),
                                          .source_representations = {values.narrow(0, at, 1).narrow(1, 0, length)}})
                               .intervened.logits[0];
      EXPECT_LE(relative_error(all[at].narrow(0, left ? 6 - length : 0, length), alone), 1e-5) << row << left;
    }
  }
}

}  // namespace
}  // namespace vene

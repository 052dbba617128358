// SPDX-License-Identifier: Apache-2.0
// Random sweeps on every port equal their cells run one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>

#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"
#include "vene/sweep/sweep.h"

namespace vene {
namespace {

namespace fs = std::filesystem;

fs::path golden(const std::string& name = "") {
  return fs::path(vene_test::kSourceFolder) / "tests" / "golden" / "models" / name;
}

std::vector<std::string> ports() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden())) {
    const fs::path reference = entry.path() / "reference.safetensors";
    if (fs::exists(reference) && io::Safetensors::open(reference.string()).contains("input_ids"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class RandomSweepTest : public testing::TestWithParam<std::string> {
 protected:
  RandomSweepTest() : model_(models::load(golden(GetParam()).string()).model), random_(2026) {}

  std::int64_t below(std::int64_t size) { return static_cast<std::int64_t>(random_() % static_cast<unsigned>(size)); }

  // Every component of every layer that has positions, with the interventions by turns.
  void make_config() {
    const char* types[]{"vanilla", "zero",  "addition", "subtraction", "rotated_space", "low_rank_rotated_space",
                        "scale",   "clamp", "set"};
    std::size_t turn = 0;
    for (const char* component :
         {"block_input", "block_output", "attention_input", "attention_output", "attention_value_output",
          "query_output", "key_output", "value_output", "head_attention_value_output", "head_query_output",
          "head_key_output", "head_value_output", "mlp_input", "mlp_activation", "mlp_output", "final_norm"}) {
      const auto& known = model_->sites().components();
      if (std::find(known.begin(), known.end(), component) == known.end()) continue;
      const bool lone = std::string(component) == "final_norm", heads = std::string(component).starts_with("head_");
      for (std::int64_t layer = 0; layer < (lone ? 1 : model_->layer_count()); ++layer) {
        RepresentationConfig representation;
        representation.component = component;
        representation.layer = lone ? -1 : layer;
        representation.unit = heads ? "h.pos" : "pos";
        representation.intervention_type = types[turn++ % std::size(types)];
        if (representation.intervention_type == "low_rank_rotated_space") representation.low_rank_dimension = 2;
        for (const char* option : {"factor", "maximum", "value"}) {
          const std::string of = option == std::string("factor")  ? "scale"
                                 : option == std::string("value") ? "set"
                                                                  : "clamp";
          if (representation.intervention_type == of) representation.options[option] = torch::tensor(0.3F);
        }
        if (lone) representation.layer = 0;
        try {
          model_->sites().find(component, representation.layer);
        } catch (const Error&) {
          continue;
        }
        sweep_.config.add_intervention(representation);
      }
    }
    torch::manual_seed(5);
    interventions_ = build_interventions(sweep_.config, *model_);
    for (std::size_t i = 0; i < interventions_.size(); ++i)
      sweep_.config.representations[i].intervention = interventions_[i];
  }

  void make_inputs() {
    constexpr std::int64_t kColumns = 7;
    torch::manual_seed(11);
    sweep_.base.input_ids = torch::randint(5, model_->vocabulary_size(), {3, kColumns}, torch::kInt64);
    sweep_.base.attention_mask = torch::ones({3, kColumns}, torch::kInt64);
    sweep_.base.attention_mask[1].slice(0, 0, 2).fill_(0);          // on the left
    sweep_.base.attention_mask[2].slice(0, kColumns - 1).fill_(0);  // on the right
    sweep_.source = models::Batch{torch::randint(5, model_->vocabulary_size(), {1, 6}, torch::kInt64), {}, {}, {}};
  }

  // A source for each base row, of 6, 4 and 3 tokens in seven columns.
  void make_sources() {
    models::Batch source{torch::randint(5, model_->vocabulary_size(), {3, 7}, torch::kInt64), {}, {}, {}};
    source.attention_mask = torch::ones({3, 7}, torch::kInt64);
    source.attention_mask[0].slice(0, 6).fill_(0);     // on the right
    source.attention_mask[1].slice(0, 0, 3).fill_(0);  // on the left
    source.attention_mask[2].slice(0, 0, 4).fill_(0);
    sweep_.source = source;
  }

  std::int64_t source_length(std::int64_t base_row) const {
    if (sweep_.source->rows() == 1) return sweep_.source->positions();
    return sweep_.source->attention_mask[base_row].sum().item<std::int64_t>();
  }

  // A row's source, alone in the batch's padding.
  models::Batch source_of(std::int64_t base_row) const {
    if (sweep_.source->rows() == 1) return *sweep_.source;
    return {
        sweep_.source->input_ids.narrow(0, base_row, 1), sweep_.source->attention_mask.narrow(0, base_row, 1), {}, {}};
  }

  Cell random_cell() {
    Cell cell{below(3), {}};
    const std::int64_t length = cell.base_row == 0 ? 7 : cell.base_row == 1 ? 5 : 6;
    std::vector<std::size_t> some(sweep_.config.representations.size());
    std::iota(some.begin(), some.end(), std::size_t{0});
    std::shuffle(some.begin(), some.end(), random_);
    some.resize(static_cast<std::size_t>(1 + below(3)));
    for (const std::size_t representation : some) {
      CellWrite write{representation, {}, {}, {}};
      const std::int64_t first = below(length);
      write.positions = {first};
      if (below(3) == 0 && first + 1 < length) write.positions.push_back(first + 1);
      for (std::size_t i = 0; i < write.positions.size(); ++i)
        write.source_positions.push_back(below(source_length(cell.base_row)));
      const RepresentationConfig& config = sweep_.config.representations[representation];
      if (config.unit == "h.pos") write.heads = {below(model_->sites().find(config.component, config.layer).heads)};
      const std::int64_t width =
          interventions_[representation]->subspace_width(model_->sites().find(config.component, config.layer).width);
      if (subspaces_ && width > 2 && below(2) == 0) write.subspace = {below(width / 2), width / 2 + below(width / 2)};
      cell.writes.push_back(write);
    }
    return cell;
  }

  // The cell as a run of its own, on its row alone in the batch's padding.
  torch::Tensor alone(const Cell& cell) {
    IntervenableConfig config;
    std::vector<std::shared_ptr<Intervention>> used;
    RunRequest request;
    request.base.input_ids = sweep_.base.input_ids.narrow(0, cell.base_row, 1);
    request.base.attention_mask = sweep_.base.attention_mask.narrow(0, cell.base_row, 1);
    HopSelection hop;
    hop.source.emplace();
    std::vector<CellWrite> writes = cell.writes;  // act in the config's order
    std::sort(writes.begin(), writes.end(),
              [](const CellWrite& a, const CellWrite& b) { return a.representation < b.representation; });
    for (const CellWrite& write : writes) {
      config.representations.push_back(sweep_.config.representations[write.representation]);
      used.push_back(interventions_[write.representation]);
      std::vector<AxisSelection> from, to;
      if (!write.heads.empty()) from = to = {AxisSelection{{at(write.heads).selection}}};
      from.push_back({{at(write.source_positions).selection}});
      to.push_back({{at(write.positions).selection}});
      hop.source->units.emplace_back(from);
      hop.base.units.emplace_back(to);
      request.sources.push_back(used.back()->traits().needs_source ? std::optional(source_of(cell.base_row))
                                                                   : std::nullopt);
      request.subspaces.push_back(write.subspace.empty() ? std::nullopt : std::optional(SubspaceIds{{write.subspace}}));
    }
    request.locations.hops["sources->base"] = hop;
    RunOptions options;
    options.logit_positions = torch::tensor(sweep_.logit_positions);
    return run(compile(config, model_, used, request), request.base, request.sources, options)
        .intervened.primary()
        .flatten(1);
  }

  void compare(std::size_t count) {
    sweep_.cells.clear();
    for (std::size_t i = 0; i < count; ++i) sweep_.cells.push_back(random_cell());
    const torch::NoGradGuard no_grad;
    const torch::Tensor joined =
        run_sweep(sweep_, model_, [](const torch::Tensor& logits) { return logits.flatten(1); }).values;
    double worst = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const torch::Tensor single = alone(sweep_.cells[i]);
      const double scale = std::max(single.abs().max().item<double>(), 1e-3);
      const double off = (joined[static_cast<std::int64_t>(i)] - single[0]).abs().max().item<double>() / scale;
      worst = std::max(worst, off);
      ASSERT_LT(off, 1e-5) << "cell " << i << " on row " << sweep_.cells[i].base_row;
    }
    RecordProperty("worst", std::to_string(worst));
  }

  std::shared_ptr<models::Model> model_;
  std::mt19937 random_;
  Sweep sweep_;
  std::vector<std::shared_ptr<Intervention>> interventions_;
  bool subspaces_ = false;
};

TEST_P(RandomSweepTest, CellsEqualSingleRuns) {
  make_config();
  make_inputs();
  sweep_.logit_positions = {5};  // a token of every row
  compare(300);
  sweep_.logit_positions = {3, 5};
  compare(200);
}

TEST_P(RandomSweepTest, CellsWithASourceForEachRowAndWritesOfSomeColumnsEqualSingleRuns) {
  make_config();
  make_inputs();
  make_sources();
  subspaces_ = true;
  sweep_.logit_positions = {5};
  compare(200);
}

INSTANTIATE_TEST_SUITE_P(Ports, RandomSweepTest, testing::ValuesIn(ports()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vene

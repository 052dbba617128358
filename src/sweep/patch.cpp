// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/patch.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "src/sweep/bootstrap.h"
#include "src/sweep/pair_runs.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

constexpr std::array<std::string_view, 4> kAxes{"layer,position", "layer,head", "layer,head,position", "layer"};

bool over_heads(PatchAxes over) {
  return over == PatchAxes::kLayerHead || over == PatchAxes::kLayerHeadPosition;
}

bool over_positions(PatchAxes over) {
  return over == PatchAxes::kLayerPosition || over == PatchAxes::kLayerHeadPosition;
}

// Texts that have a position each, or the names of positions, for every cell.
void check_aligned(const std::vector<PromptPair>& pairs, PatchAxes over) {
  const PromptPair& first = pairs.front();
  const auto names = [](const PromptPair& pair) {
    std::vector<std::string> all;
    for (const PromptPair::Place& place : pair.positions) all.push_back(place.name);
    return all;
  };
  for (const PromptPair& pair : pairs) {
    if (pair.corrupt.empty())
      throw ConfigError(pair.where + ": an interchange needs a corrupt text, and there is none");
    if (names(pair) != names(first))
      throw ConfigError(pair.where + ": its positions are named " +
                        (pair.positions.empty() ? "not at all" : join(names(pair))) + ", those of " + first.where +
                        " " + (first.positions.empty() ? "not at all" : join(names(first))));
    if (!pair.positions.empty()) continue;
    if (pair.clean.size() != pair.corrupt.size())
      throw ConfigError(pair.where + ": the clean text has " + std::to_string(pair.clean.size()) +
                        " tokens, the corrupt one " + std::to_string(pair.corrupt.size()) +
                        "; name the positions that belong together (\"positions\")");
    if (over_positions(over) && pair.clean.size() != first.clean.size())
      throw ConfigError(pair.where + ": its texts have " + std::to_string(pair.clean.size()) + " tokens, those of " +
                        first.where + " " + std::to_string(first.clean.size()) +
                        "; name the positions that belong together (\"positions\")");
  }
}

std::vector<std::string> tokens_at(const std::vector<PromptPair>& pairs, const models::LanguageModel& lm) {
  const PromptPair& first = pairs.front();
  const auto token = [](const PromptPair& pair, std::size_t i) {
    const std::int64_t position = pair.positions.empty() ? static_cast<std::int64_t>(i) : pair.positions[i].clean;
    return position < 0 ? pair.clean[pair.clean.size() - static_cast<std::size_t>(-position)]
                        : pair.clean[static_cast<std::size_t>(position)];
  };
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < (first.positions.empty() ? first.clean.size() : first.positions.size()); ++i) {
    const std::int64_t id = token(first, i);
    const bool same =
        std::all_of(pairs.begin(), pairs.end(), [&](const PromptPair& pair) { return token(pair, i) == id; });
    tokens.push_back(!same ? "" : lm.tokenizer ? text::valid_utf8(lm.tokenizer->token_text(id)) : std::to_string(id));
  }
  return tokens;
}

// The cells of some pairs, in the order of the maps' values.
class Patching {
 public:
  Patching(PatchGrid& grid, const PatchOptions& options, const models::LanguageModel& lm)
      : grid_(grid), options_(options), model_(lm.model) {
    for (PatchGrid::Map& map : grid.maps) {
      const std::string component =
          over_heads(grid.over) ? detail::head_component(*model_, map.component) : map.component;
      std::int64_t heads = 1;
      for (std::int64_t layer = 0; layer < model_->layer_count(); ++layer) {
        const Site& site = model_->sites().find(component, layer);
        const bool positions = std::find(site.axes.begin(), site.axes.end(), Axis::kPos) != site.axes.end();
        if (site.layer != layer || !positions || site.stage < 0)
          throw ConfigError("components: '" + component + "' is not a value with positions of every layer");
        if (over_heads(grid.over)) heads = site.heads;
        RepresentationConfig exchanged;
        exchanged.component = component;
        exchanged.layer = layer;
        exchanged.unit = over_heads(grid.over) ? "h.pos" : "pos";
        exchanged.intervention_type = "vanilla";
        config_.add_intervention(exchanged);
      }
      heads_.push_back(heads);
      const std::int64_t columns = over_positions(grid.over) ? static_cast<std::int64_t>(grid.positions.size()) : 1;
      map.values = torch::empty({model_->layer_count(), heads, columns, static_cast<std::int64_t>(grid.pairs.size())},
                                torch::kFloat64);
      cells_a_pair_ += map.values[0].numel() * model_->layer_count() / static_cast<std::int64_t>(grid.pairs.size());
    }
  }

  void run() {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> clean, corrupt;
    std::int64_t first = 0;
    for (const auto& pairs : detail::in_chunks(grid_.pairs, *model_, config_.representations.size())) {
      const detail::PairRuns runs(pairs, grid_.metric, *model_);
      const SweepResult result = sweep(runs, first);
      const bool denoise = grid_.direction == PatchDirection::kDenoise;
      clean.push_back(denoise ? result.source : result.background);
      corrupt.push_back(denoise ? result.background : result.source);
      const auto count = static_cast<std::int64_t>(pairs.size());
      std::int64_t at = 0;
      for (PatchGrid::Map& map : grid_.maps) {
        const std::int64_t size = map.values.numel() / map.values.size(3) * count;
        std::vector<std::int64_t> shape = map.values.sizes().vec();
        shape[3] = count;
        map.values.narrow(3, first, count).copy_(result.values.narrow(0, at, size).view(shape));
        at += size;
      }
      first += count;
    }
    grid_.clean = torch::cat(clean);
    grid_.corrupt = torch::cat(corrupt);
  }

 private:
  SweepResult sweep(const detail::PairRuns& runs, std::int64_t first) {
    const bool denoise = grid_.direction == PatchDirection::kDenoise;
    Sweep sweep;
    sweep.config = config_;
    sweep.base = denoise ? runs.corrupt() : runs.clean();
    sweep.source = denoise ? runs.clean() : runs.corrupt();
    sweep.logit_positions = runs.logit_columns();
    for (std::size_t m = 0; m < grid_.maps.size(); ++m) {
      const torch::Tensor& values = grid_.maps[m].values;
      for (std::int64_t layer = 0; layer < values.size(0); ++layer) {
        for (std::int64_t head = 0; head < values.size(1); ++head) {
          for (std::int64_t column = 0; column < values.size(2); ++column) {
            for (std::size_t row = 0; row < runs.pairs().size(); ++row) {
              CellWrite write = places(runs.pairs()[row], column);
              write.representation = m * static_cast<std::size_t>(values.size(0)) + static_cast<std::size_t>(layer);
              if (over_heads(grid_.over)) write.heads = {head};
              sweep.cells.push_back({static_cast<std::int64_t>(row), {std::move(write)}});
            }
          }
        }
      }
    }
    SweepOptions options;
    options.rows_per_batch = options_.rows_per_batch;
    const auto before = static_cast<std::size_t>(first * cells_a_pair_);
    const std::size_t all = grid_.pairs.size() * static_cast<std::size_t>(cells_a_pair_);
    if (options_.progress)
      options.progress = [&, before, all](std::size_t done, std::size_t) {
        return options_.progress(before + done, all);
      };
    return run_sweep(sweep, model_, runs.metric(/*base_is_clean=*/!denoise), options);
  }

  // Where a pair is written and read for a column of the grid.
  CellWrite places(const PromptPair& pair, std::int64_t column) const {
    CellWrite write;
    const bool denoise = grid_.direction == PatchDirection::kDenoise, one = over_positions(grid_.over);
    if (pair.positions.empty()) {
      if (one) {
        write.positions = {column};
      } else {
        write.positions.resize(pair.clean.size());
        std::iota(write.positions.begin(), write.positions.end(), 0);
      }
      return write;
    }
    for (std::size_t i = 0; i < pair.positions.size(); ++i) {
      if (one && static_cast<std::int64_t>(i) != column) continue;
      const PromptPair::Place& place = pair.positions[i];
      write.positions.push_back(denoise ? place.corrupt : place.clean);
      write.source_positions.push_back(denoise ? place.clean : place.corrupt);
    }
    return write;
  }

  PatchGrid& grid_;
  const PatchOptions& options_;
  std::shared_ptr<models::Model> model_;
  IntervenableConfig config_;
  std::vector<std::int64_t> heads_;
  std::int64_t cells_a_pair_ = 0;
};

void add_intervals(PatchGrid& grid) {
  if (grid.bootstrap == 0) return;
  const torch::Tensor draws =
      detail::bootstrap_draws(grid.bootstrap, static_cast<std::int64_t>(grid.pairs.size()), grid.seed);
  for (PatchGrid::Map& map : grid.maps) {
    std::vector<torch::Tensor> values, effects;
    for (std::int64_t draw = 0; draw < draws.size(0); ++draw) {
      const torch::Tensor value = map.values.index_select(3, draws[draw]).mean(3);
      const torch::Tensor from = grid.from().index_select(0, draws[draw]).mean(),
                          to = grid.to().index_select(0, draws[draw]).mean();
      values.push_back(value);
      effects.push_back((value - from) / (to - from));
    }
    std::tie(map.value_low, map.value_high) = detail::middle(torch::stack(values));
    std::tie(map.effect_low, map.effect_high) = detail::middle(torch::stack(effects));
  }
}

}  // namespace

std::string name_of(PatchDirection direction) {
  return direction == PatchDirection::kDenoise ? "denoise" : "noise";
}

std::string name_of(PatchAxes over) {
  return std::string(kAxes[static_cast<std::size_t>(over)]);
}

PatchAxes parse_patch_axes(const std::string& name) {
  const auto found = std::find(kAxes.begin(), kAxes.end(), name);
  if (found == kAxes.end())
    throw ConfigError("over: unknown axes '" + name + "'" + name_hint(name, {kAxes.begin(), kAxes.end()}));
  return static_cast<PatchAxes>(found - kAxes.begin());
}

torch::Tensor PatchGrid::effect(const Map& map) const {
  const torch::Tensor difference = to().mean() - from().mean();
  if (difference.item<double>() == 0) return torch::full_like(map.mean(), NAN);
  return (map.mean() - from().mean()) / difference;
}

PatchGrid patch(const models::LanguageModel& lm, const std::vector<PromptPair>& pairs, const PatchOptions& options) {
  if (pairs.empty()) throw ConfigError("pairs: expected at least one");
  if (options.bootstrap < 0)
    throw ConfigError("bootstrap: expected at least 0 resamples, got " + std::to_string(options.bootstrap));
  detail::check_metric(pairs, options.metric);
  check_aligned(pairs, options.over);
  PatchGrid grid;
  grid.dtype = c10::getDtypeNames(lm.model->dtype()).first;
  grid.direction = options.direction;
  grid.over = options.over;
  grid.metric = options.metric;
  grid.bootstrap = options.bootstrap;
  grid.seed = options.seed;
  grid.pairs = pairs;
  if (over_positions(options.over)) {
    grid.tokens = tokens_at(pairs, lm);
    for (std::size_t i = 0; i < grid.tokens.size(); ++i)
      grid.positions.push_back(pairs[0].positions.empty() ? std::to_string(i) : pairs[0].positions[i].name);
  }
  std::vector<std::string> components = options.components;
  if (components.empty())
    components = over_heads(options.over) ? std::vector<std::string>{"attention_output"}
                                          : std::vector<std::string>{"block_output", "attention_output", "mlp_output"};
  for (const std::string& component : components) {
    if (std::count(components.begin(), components.end(), component) > 1)
      throw ConfigError("components: '" + component + "' is given twice");
    PatchGrid::Map map;
    map.component = component;
    grid.maps.push_back(std::move(map));
  }
  Patching(grid, options, lm).run();
  add_intervals(grid);
  return grid;
}

}  // namespace vene

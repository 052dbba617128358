// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/ablate.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <random>

#include "src/base/at_place.h"
#include "src/base/json_reader.h"
#include "src/sweep/bootstrap.h"
#include "src/sweep/pair_runs.h"
#include "src/sweep/site_means.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene {
namespace {

constexpr std::array<std::string_view, 4> kKinds{"zero", "mean", "resample corrupt", "resample data"};
constexpr std::array<std::string_view, 3> kUnits{"layer", "head", "neuron"};

bool resamples(AblationKind kind) {
  return kind == AblationKind::kResampleCorrupt || kind == AblationKind::kResampleData;
}

// Another text for each pair, cut to its length: what follows does not change what a causal model makes of it.
void draw_texts(std::vector<PromptPair>& pairs, const AblateOptions& options) {
  std::mt19937_64 random(options.seed);
  for (PromptPair& pair : pairs) {
    std::vector<std::vector<std::int64_t>> others;
    for (const auto& text : options.data) {
      if (text.size() >= pair.clean.size() && !std::equal(pair.clean.begin(), pair.clean.end(), text.begin()))
        others.emplace_back(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(pair.clean.size()));
    }
    if (others.empty())
      throw ConfigError(pair.where + ": no text of the data differs from it and has its " +
                        std::to_string(pair.clean.size()) + " tokens or more");
    pair.corrupt = others[random() % others.size()];
  }
}

void check(const AblateOptions& options, const std::vector<PromptPair>& pairs) {
  if (pairs.empty()) throw ConfigError("pairs: expected at least one");
  detail::check_metric(pairs, options.metric);
  if (options.bootstrap < 0)
    throw ConfigError("bootstrap: expected at least 0 resamples, got " + std::to_string(options.bootstrap));
  if (options.units.empty()) throw ConfigError("units: expected at least one of layer, head, neuron");
  for (const AblationUnit unit : options.units) {
    if (std::count(options.units.begin(), options.units.end(), unit) > 1)
      throw ConfigError("units: '" + name_of(unit) + "' is given twice");
    if (unit == AblationUnit::kNeuron && options.layers.empty())
      throw ConfigError("units: neurons are ablated in chosen layers; give the layers");
  }
  const bool takes_data = options.kind == AblationKind::kMean || options.kind == AblationKind::kResampleData;
  if (takes_data && options.data.empty())
    throw ConfigError("data: " + name_of(options.kind) + " needs texts, and there are none");
  if (options.positional && options.kind != AblationKind::kMean)
    throw ConfigError("positional: a mean for each position is for the kind mean, and this is " +
                      name_of(options.kind));
  std::size_t longest = 0;
  for (const auto& text : options.data) longest = std::max(longest, text.size());
  for (const PromptPair& pair : pairs) {
    if (options.kind == AblationKind::kResampleCorrupt && pair.corrupt.empty())
      throw ConfigError(pair.where + ": its values are to come from a corrupt text, and there is none");
    if (options.kind == AblationKind::kResampleCorrupt && pair.corrupt.size() != pair.clean.size())
      throw ConfigError(pair.where + ": the clean text has " + std::to_string(pair.clean.size()) +
                        " tokens, the corrupt one " + std::to_string(pair.corrupt.size()) +
                        ", so there is none for each position");
    if (options.positional && pair.clean.size() > longest)
      throw ConfigError(pair.where + ": its text has " + std::to_string(pair.clean.size()) +
                        " tokens, the longest of the data " + std::to_string(longest) +
                        ", so there is no mean for each position");
  }
}

// A unit and the representation that writes it.
struct Target {
  Ablation::Unit unit;
  std::size_t representation = 0;
};

class Ablating {
 public:
  Ablating(Ablation& ablation, const AblateOptions& options, const models::LanguageModel& lm)
      : ablation_(ablation), options_(options), model_(lm.model) {
    std::vector<std::int64_t> layers = options.layers;
    if (layers.empty()) {
      layers.resize(static_cast<std::size_t>(model_->layer_count()));
      std::iota(layers.begin(), layers.end(), 0);
    }
    for (const std::int64_t layer : layers) {
      if (std::count(layers.begin(), layers.end(), layer) > 1)
        throw ConfigError("layers: " + std::to_string(layer) + " is given twice");
    }
    std::vector<std::string> components = options.components;
    if (components.empty()) components = {"attention_output", "mlp_output"};
    for (const AblationUnit unit : options.units) {
      const std::vector<std::string> names = unit == AblationUnit::kLayer ? components
                                             : unit == AblationUnit::kHead
                                                 ? std::vector<std::string>{"attention_output"}
                                                 : std::vector<std::string>{"mlp_activation"};
      for (const std::string& name : names) {
        if (std::count(names.begin(), names.end(), name) > 1)
          throw ConfigError("components: '" + name + "' is given twice");
        for (const std::int64_t layer : layers) add(unit, name, layer);
      }
    }
    if (options.greedy < 0 || options.greedy > static_cast<std::int64_t>(targets_.size()))
      throw ConfigError("greedy: expected 0 to " + std::to_string(targets_.size()) + ", the number of units, got " +
                        std::to_string(options.greedy));
  }

  void run() {
    const torch::NoGradGuard no_grad;
    if (options_.kind == AblationKind::kMean) {
      std::vector<Site> sites;
      for (const RepresentationConfig& representation : config_.representations)
        sites.push_back(model_->sites().find(representation.component, representation.layer));
      means_ = detail::site_means(*model_, sites, options_.data, options_.positional);
    }
    std::vector<std::size_t> left(targets_.size());
    std::iota(left.begin(), left.end(), std::size_t{0});
    for (std::int64_t step = 0; step < std::max<std::int64_t>(1, options_.greedy); ++step)
      all_ += (left.size() - static_cast<std::size_t>(step)) * ablation_.pairs.size();
    std::vector<std::size_t> chosen;
    if (options_.greedy == 0) {
      const torch::Tensor values = values_of(left, chosen);
      for (const std::size_t i : left) take(i, values[static_cast<std::int64_t>(i)]);
      return;
    }
    const bool low_is_good = options_.metric == AnswerMetric::kKl || options_.metric == AnswerMetric::kRank;
    for (std::int64_t step = 0; step < options_.greedy; ++step) {
      const torch::Tensor values = values_of(left, chosen), mean = values.mean(1);
      const std::int64_t best = (low_is_good ? mean.argmin() : mean.argmax()).item<std::int64_t>();
      const std::size_t target = left[static_cast<std::size_t>(best)];
      take(target, values[best]);
      chosen.push_back(target);
      left.erase(left.begin() + best);
    }
  }

 private:
  void add(AblationUnit kind, const std::string& name, std::int64_t layer) {
    const std::string component = kind == AblationUnit::kHead ? detail::head_component(*model_, name) : name;
    const Site& site = model_->sites().find(component, layer);
    const bool positions = std::find(site.axes.begin(), site.axes.end(), Axis::kPos) != site.axes.end();
    if (site.layer != layer || !positions || site.stage < 0)
      throw ConfigError("components: '" + component + "' is not a value with positions of every layer");
    RepresentationConfig written;
    written.component = component;
    written.layer = layer;
    written.unit = kind == AblationUnit::kHead ? "h.pos" : "pos";
    written.intervention_type = options_.kind == AblationKind::kZero ? "zero" : "vanilla";
    const std::size_t representation = config_.representations.size();
    config_.add_intervention(written);
    const std::int64_t count = kind == AblationUnit::kLayer ? 1 : kind == AblationUnit::kHead ? site.heads : site.width;
    for (std::int64_t i = 0; i < count; ++i) {
      Target target;
      target.unit.kind = kind;
      target.unit.component = name;
      target.unit.layer = layer;
      target.unit.index = kind == AblationUnit::kLayer ? -1 : i;
      target.representation = representation;
      targets_.push_back(std::move(target));
    }
  }

  void take(std::size_t target, const torch::Tensor& values) {
    ablation_.units.push_back(targets_[target].unit);
    ablation_.units.back().values = values.contiguous();
  }

  // The metric [candidates, pairs] with each candidate ablated beside those that are chosen already.
  torch::Tensor values_of(const std::vector<std::size_t>& candidates, const std::vector<std::size_t>& chosen) {
    std::vector<torch::Tensor> values, clean;
    for (const auto& pairs : detail::in_chunks(ablation_.pairs, *model_, config_.representations.size())) {
      const detail::PairRuns runs(pairs, options_.metric, *model_);
      Sweep sweep;
      sweep.config = config_;
      sweep.base = runs.clean();
      if (resamples(options_.kind)) sweep.source = runs.corrupt();
      sweep.source_values = means_;
      sweep.logit_positions = runs.logit_columns();
      for (const std::size_t candidate : candidates) {
        std::vector<std::size_t> together = chosen;
        together.push_back(candidate);
        for (std::size_t row = 0; row < pairs.size(); ++row)
          sweep.cells.push_back({static_cast<std::int64_t>(row), writes_of(together, pairs[row].clean.size())});
      }
      SweepOptions options;
      options.rows_per_batch = options_.rows_per_batch;
      if (options_.progress)
        options.progress = [this](std::size_t done, std::size_t) { return options_.progress(done_ + done, all_); };
      const SweepResult result = run_sweep(sweep, model_, runs.metric(/*base_is_clean=*/true), options);
      done_ += sweep.cells.size();
      values.push_back(
          result.values.view({static_cast<std::int64_t>(candidates.size()), static_cast<std::int64_t>(pairs.size())}));
      clean.push_back(result.background);
    }
    ablation_.clean = torch::cat(clean);
    return torch::cat(values, 1);
  }

  // One write a representation, at every position.
  std::vector<CellWrite> writes_of(const std::vector<std::size_t>& targets, std::size_t positions) const {
    std::map<std::size_t, CellWrite> writes;
    for (const std::size_t i : targets) {
      const Target& target = targets_[i];
      CellWrite& write = writes[target.representation];
      write.representation = target.representation;
      if (target.unit.kind == AblationUnit::kHead) write.heads.push_back(target.unit.index);
      if (target.unit.kind == AblationUnit::kNeuron) write.subspace.push_back(target.unit.index);
    }
    std::vector<CellWrite> all;
    for (auto& [representation, write] : writes) {
      write.positions.resize(positions);
      std::iota(write.positions.begin(), write.positions.end(), 0);
      all.push_back(std::move(write));
    }
    return all;
  }

  Ablation& ablation_;
  const AblateOptions& options_;
  std::shared_ptr<models::Model> model_;
  IntervenableConfig config_;
  std::vector<Target> targets_;
  std::vector<torch::Tensor> means_;  // one a representation, or none
  std::size_t done_ = 0, all_ = 0;
};

void add_intervals(Ablation& ablation) {
  if (ablation.bootstrap == 0) return;
  const torch::Tensor draws =
      detail::bootstrap_draws(ablation.bootstrap, static_cast<std::int64_t>(ablation.pairs.size()), ablation.seed);
  const auto ends = [&](const torch::Tensor& values) {
    const auto [low, high] = detail::middle(values.index_select(0, draws.flatten()).view(draws.sizes()).mean(1));
    return std::pair(low.item<double>(), high.item<double>());
  };
  for (Ablation::Unit& unit : ablation.units) {
    std::tie(unit.value_low, unit.value_high) = ends(unit.values);
    std::tie(unit.change_low, unit.change_high) = ends(unit.values - ablation.clean);
  }
}

}  // namespace

std::string name_of(AblationKind kind) {
  return std::string(kKinds[static_cast<std::size_t>(kind)]);
}

std::string name_of(AblationUnit unit) {
  return std::string(kUnits[static_cast<std::size_t>(unit)]);
}

AblationUnit parse_ablation_unit(const std::string& name) {
  const auto found = std::find(kUnits.begin(), kUnits.end(), name);
  if (found == kUnits.end())
    throw ConfigError("units: unknown unit '" + name + "'" + name_hint(name, {kUnits.begin(), kUnits.end()}));
  return static_cast<AblationUnit>(found - kUnits.begin());
}

std::vector<std::vector<std::int64_t>> read_texts(const std::string& path, const models::LanguageModel& lm) {
  const std::string file = io::read_file(path);
  const bool as_json = path.ends_with(".jsonl");
  std::vector<std::vector<std::int64_t>> texts;
  std::size_t at = 0;
  for (std::size_t line = 1; at < file.size(); ++line) {
    const std::size_t end = std::min(file.find('\n', at), file.size());
    std::string row = file.substr(at, end - at);
    at = end + 1;
    if (row.ends_with('\r')) row.pop_back();
    if (row.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string where = path + ", line " + std::to_string(line);
    detail::Json json = row;
    if (as_json) json = detail::read_json<ConfigError>(row, where);
    if (json.is_string()) {
      if (!lm.tokenizer) throw ModelError(where + ": this model has no tokenizer; give token ids");
      texts.push_back(lm.tokenizer->encode(json.get<std::string>()));
    } else {
      texts.push_back(detail::JsonReader(json, where).integers("a text or a list of token ids", "a token id"));
    }
    detail::at_place(where, [&] {
      if (texts.back().empty()) throw ConfigError("expected a text of at least one token");
      lm.model->check({torch::tensor(texts.back()).unsqueeze(0).to(lm.model->device()), {}, {}, {}});
      return 0;
    });
  }
  if (texts.empty()) throw ConfigError(path + ": there are no texts");
  return texts;
}

Ablation ablate(const models::LanguageModel& lm, const std::vector<PromptPair>& pairs, const AblateOptions& options) {
  check(options, pairs);
  Ablation ablation;
  ablation.dtype = c10::getDtypeNames(lm.model->dtype()).first;
  ablation.kind = options.kind;
  ablation.positional = options.positional;
  ablation.texts = options.data.size();
  ablation.metric = options.metric;
  ablation.greedy = options.greedy;
  ablation.bootstrap = options.bootstrap;
  ablation.seed = options.seed;
  ablation.pairs = pairs;
  if (options.kind == AblationKind::kResampleData) {
    if (lm.model->reads_ahead())
      throw ConfigError("resample data: " + lm.model->architecture() +
                        " reads ahead, so a text that is cut to another's length is not that text");
    draw_texts(ablation.pairs, options);
  }
  if (!resamples(options.kind)) {
    for (PromptPair& pair : ablation.pairs) pair.corrupt.clear();
  }
  Ablating(ablation, options, lm).run();
  add_intervals(ablation);
  return ablation;
}

}  // namespace vene

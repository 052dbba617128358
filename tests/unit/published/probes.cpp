// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/published/probes.h"

#include <torch/optim/lbfgs.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <fstream>
#include <map>

#include "vene/core/intervenable_model.h"

namespace vene_test {
namespace {

using torch::Tensor;
using Sites = std::map<std::pair<std::int64_t, std::int64_t>, Tensor>;  // by layer and position: [examples, width]

constexpr std::int64_t kPositions = 4, kTraining = 200, kHeldOut = 100;

struct Examples {
  Tensor ids, labels;  // [examples, 4], and 0 for he and 1 for she
};

// The names that are one token and whose pronoun the model prefers, in rows by pronoun.
std::array<std::vector<Tensor>, 2> doable(const vene::models::LanguageModel& lm, const nlohmann::json& names) {
  const std::int64_t he = lm.tokenizer->encode(" he").back(), she = lm.tokenizer->encode(" she").back();
  std::array<std::vector<Tensor>, 2> rows;
  for (const std::size_t label : {std::size_t{0}, std::size_t{1}}) {
    for (const std::string name : names.at("neox_single_token").at(label == 0 ? "he" : "she")) {
      std::vector<std::int64_t> ids{0};
      for (const std::int64_t id : lm.tokenizer->encode(name + " walked because")) ids.push_back(id);
      if (static_cast<std::int64_t>(ids.size()) != kPositions) continue;
      vene::models::Batch batch;
      batch.input_ids = torch::tensor(ids, torch::kInt64).unsqueeze(0);
      const Tensor last = lm.model->forward(batch).logits[0][-1];
      if ((last[she] > last[he]).item<bool>() == (label == 1)) rows[label].push_back(batch.input_ids);
    }
  }
  return rows;
}

// As many of either label, drawn with repeats.
Examples drawn(const std::array<std::vector<Tensor>, 2>& rows, std::int64_t count) {
  std::vector<Tensor> ids, labels;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& mine = rows[static_cast<std::size_t>(i % 2)];
    ids.push_back(mine[static_cast<std::size_t>(
        torch::randint(static_cast<std::int64_t>(mine.size()), {1}).item<std::int64_t>())]);
    labels.push_back(torch::tensor({i % 2}, torch::kInt64));
  }
  return {torch::cat(ids), torch::cat(labels)};
}

Sites collected(const vene::models::LanguageModel& lm, const Tensor& ids) {
  Sites sites;
  vene::models::Batch batch;
  batch.input_ids = ids;
  for (std::int64_t layer = 0; layer < lm.model->layer_count(); ++layer) {
    const std::string config =
        R"([{"component": "block_output", "intervention_type": "collect", "max_number_of_units": 4, "layer": )" +
        std::to_string(layer) + "}]";
    vene::IntervenableModel collects(vene::IntervenableConfig::parse(config), lm.model);
    const Tensor values =
        collects->forward({.base = batch, .locations = vene::first(kPositions)}).collected.at(0).value;  // [examples,
                                                                                                         // 4, width]
    for (std::int64_t position = 0; position < kPositions; ++position)
      sites[{layer, position}] = values.select(1, position).contiguous();
  }
  return sites;
}

// Percent of held-out examples that a logistic regression (with a penalty of half the squared weights) gets right.
double accuracy(const Tensor& training, const Tensor& labels, const Tensor& held_out, const Tensor& held_out_labels) {
  Tensor weight = torch::zeros({training.size(1)}, torch::requires_grad()),
         bias = torch::zeros({1}, torch::requires_grad());
  torch::optim::LBFGS optimizer({weight, bias},
                                torch::optim::LBFGSOptions(1).max_iter(500).line_search_fn("strong_wolfe"));
  const Tensor wanted = labels.to(torch::kFloat32);
  optimizer.step([&] {
    optimizer.zero_grad();
    const Tensor loss =
        torch::binary_cross_entropy_with_logits(training.mv(weight) + bias, wanted, {}, {}, at::Reduction::Sum) +
        0.5 * weight.square().sum();
    loss.backward();
    return loss;
  });
  const torch::NoGradGuard no_grad;
  return 100 * ((held_out.mv(weight) + bias > 0).to(torch::kInt64) == held_out_labels)
                   .to(torch::kFloat64)
                   .mean()
                   .item<double>();
}

}  // namespace

std::vector<std::string> probe_differences(const vene::models::LanguageModel& lm, const nlohmann::json& published,
                                           const std::filesystem::path& names) {
  torch::manual_seed(42);
  Examples training, held_out;
  Sites learnt, seen;
  {
    const torch::NoGradGuard no_grad;
    const auto rows = doable(lm, nlohmann::json::parse(std::ifstream(names)));
    if (rows[0].empty() || rows[1].empty()) return {"no names of which the model prefers the right pronoun"};
    training = drawn(rows, kTraining);
    held_out = drawn(rows, kHeldOut);
    learnt = collected(lm, training.ids);
    seen = collected(lm, held_out.ids);
  }
  std::vector<std::string> differences;
  for (const auto& row : published) {
    const std::pair<std::int64_t, std::int64_t> place{row.at(0).get<std::int64_t>(), row.at(1).get<std::int64_t>()};
    const double wanted = row.at(2).get<double>();
    const std::string where =
        "layer " + std::to_string(place.first) + ", position " + std::to_string(place.second) + ": ";
    if (!learnt.contains(place)) {
      differences.push_back(where + "no such layer");
      continue;
    }
    const double got = accuracy(learnt.at(place), training.labels, seen.at(place), held_out.labels);
    // The names were drawn at random: three standard deviations of an accuracy over so many, and two examples more
    // where it is near 100.
    const double slack = 300 * std::sqrt(wanted / 100 * (1 - wanted / 100) / kHeldOut) + 2;
    if (std::abs(got - wanted) > slack)
      differences.push_back(where + "published " + std::to_string(wanted) + " %, got " + std::to_string(got) + " %");
  }
  return differences;
}

}  // namespace vene_test

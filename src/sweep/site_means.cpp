// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/site_means.h"

#include <algorithm>
#include <map>

#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"
#include "vene/locations/gather.h"

namespace vene::detail {
namespace {

constexpr std::size_t kRows = 64;

std::int64_t axis_of(const Site& site, const torch::Tensor& value, Axis axis) {
  const std::vector<Axis> axes = value_axes(site, value.dim());
  return std::find(axes.begin(), axes.end(), axis) - axes.begin();
}

struct Sum {
  torch::Tensor total;  // as the value with its heads apart, one row; positions of the longest text
  std::int64_t position_axis = 0;
};

void add_to(Sum& sum, const Site& site, const torch::Tensor& live, std::int64_t longest) {
  const torch::Tensor value = split_heads(live, site).to(torch::kFloat64).sum(axis_of(site, live, Axis::kBatch), true);
  sum.position_axis = axis_of(site, value, Axis::kPos);
  const std::int64_t positions = value.size(sum.position_axis);
  if (!sum.total.defined()) {
    std::vector<std::int64_t> shape = value.sizes().vec();
    shape[static_cast<std::size_t>(sum.position_axis)] = longest;
    sum.total = torch::zeros(shape, value.options());
  }
  sum.total.narrow(sum.position_axis, 0, positions).add_(value);
}

}  // namespace

std::vector<torch::Tensor> site_means(models::Model& model, const std::vector<Site>& sites,
                                      const std::vector<std::vector<std::int64_t>>& texts, bool positional) {
  const torch::NoGradGuard no_grad;
  std::map<std::size_t, std::vector<const std::vector<std::int64_t>*>> by_length;  // so that nothing is padded
  for (const auto& text : texts) by_length[text.size()].push_back(&text);
  const auto longest = static_cast<std::int64_t>(by_length.rbegin()->first);
  std::vector<Sum> sums(sites.size());
  HookTable table;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    table.on(
        sites[i].id, sites[i].phase,
        [&, i](const HookContext& context) { add_to(sums[i], sites[i], context.value(), longest); },
        site_text(sites[i]));
  }
  torch::Tensor counts = torch::zeros({longest}, torch::kFloat64);  // texts that have a position
  for (const auto& [length, some] : by_length) {
    for (std::size_t begin = 0; begin < some.size(); begin += kRows) {
      std::vector<torch::Tensor> rows;
      for (std::size_t i = begin; i < std::min(begin + kRows, some.size()); ++i)
        rows.push_back(torch::tensor(*some[i], torch::kInt64));
      models::ForwardOptions last;
      last.last_logits = 1;
      const HookScope scope(table);
      model.forward({torch::stack(rows).to(model.device()), {}, {}, {}}, last);
      counts.narrow(0, 0, static_cast<std::int64_t>(length)).add_(static_cast<double>(rows.size()));
    }
  }
  std::vector<torch::Tensor> means;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    torch::Tensor total = sums[i].total;
    if (!total.defined()) throw PlanError("the model did not reach " + site_text(sites[i]) + " in this run");
    torch::Tensor many = counts.to(total.device());
    if (!positional) {
      total = total.sum(sums[i].position_axis, true);
      many = many.sum();
    } else {
      std::vector<std::int64_t> shape(static_cast<std::size_t>(total.dim()), 1);
      shape[static_cast<std::size_t>(sums[i].position_axis)] = longest;
      many = many.view(shape);
    }
    means.push_back(join_heads((total / many).to(model.dtype()), sites[i]));
  }
  return means;
}

}  // namespace vene::detail

// SPDX-License-Identifier: Apache-2.0
#include "src/core/collect_pass.h"

#include <torch/utils.h>

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/locations/gather.h"

namespace vene::detail {
namespace {

using torch::Tensor;

Tensor index(const std::vector<std::int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

std::int64_t place_of(const std::vector<Axis>& axes, Axis axis) {
  const auto found = std::find(axes.begin(), axes.end(), axis);
  return found == axes.end() ? -1 : found - axes.begin();
}

}  // namespace

struct CollectPass::Batch {
  explicit Batch(const std::vector<CollectText*>& some) : texts(some) {
    for (const CollectText* text : texts) positions = std::max(positions, static_cast<std::int64_t>(text->ids.size()));
    std::vector<std::int64_t> columns, into, of, into_text;
    for (std::size_t row = 0; row < texts.size(); ++row) {
      const CollectText& text = *texts[row];
      into_text.push_back(text.number);
      for (std::size_t i = 0; i < text.positions.size(); ++i) {
        columns.push_back(static_cast<std::int64_t>(row) * positions + text.positions[i]);
        into.push_back(text.first_row + static_cast<std::int64_t>(i));
        of.push_back(static_cast<std::int64_t>(text.ids.size()));
      }
    }
    taken = index(columns);
    places = index(into);
    keys = index(of);
    text_places = index(into_text);
  }

  models::Batch input(const models::LanguageModel& lm) {
    const auto rows = static_cast<std::int64_t>(texts.size());
    const std::int64_t pad = lm.tokenizer ? lm.tokenizer->pad().value_or(0) : 0;
    Tensor ids = torch::full({rows, positions}, pad, torch::kInt64), mask = torch::zeros_like(ids);
    bool ragged = false;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::vector<std::int64_t>& text = texts[static_cast<std::size_t>(row)]->ids;
      const auto count = static_cast<std::int64_t>(text.size());
      ids[row].narrow(0, 0, count).copy_(index(text));
      mask[row].narrow(0, 0, count).fill_(1);
      ragged = ragged || count < positions;
    }
    models::Batch batch{ids, ragged ? mask : Tensor(), {}, {}};
    return batch.to(lm.model->device());
  }

  // What a cell makes at one column, for the rows that want it there: which rows, and where they go.
  std::pair<Tensor, Tensor> at_column(std::int64_t column) const {
    std::vector<std::int64_t> rows, into;
    for (std::size_t row = 0; row < texts.size(); ++row) {
      for (std::size_t i = 0; i < texts[row]->positions.size(); ++i) {
        if (texts[row]->positions[i] != column) continue;
        rows.push_back(static_cast<std::int64_t>(row));
        into.push_back(texts[row]->first_row + static_cast<std::int64_t>(i));
      }
    }
    return {index(rows), index(into)};
  }

  const std::vector<CollectText*>& texts;
  std::int64_t positions = 0;  // of the longest
  Tensor taken;                // of the values [row * position, ...] these are wanted
  Tensor places;               // and go to these rows of the shard
  Tensor keys;                 // how many keys each of them has
  Tensor text_places;          // where the texts go
  std::vector<Tensor>* values = nullptr;
  std::vector<CollectedRows> rows;

  struct Picked {
    std::size_t site;
    Tensor places, values;
  };
  std::vector<Picked> picked;  // on a device, brought over after the pass

  void put(const Picked& some) const {
    Tensor& into = (*values)[some.site];
    const Tensor& from = some.values;
    (from.dim() > 1 && into.size(-1) > from.size(-1) ? into.narrow(-1, 0, from.size(-1)) : into)
        .index_copy_(0, some.places, from.to(torch::kCPU));
  }
};

CollectPass::CollectPass(const models::LanguageModel& lm, std::vector<Site> sites,
                         std::optional<torch::ScalarType> dtype)
    : lm_(lm), sites_(std::move(sites)), dtype_(dtype.value_or(lm.model->dtype())) {
  const std::vector<Site>& all = lm.model->sites().all();
  one_length_ = std::any_of(all.begin(), all.end(), [](const Site& site) { return site.calls != CallOrder::kUnknown; });
}

// The rows of a value that are wanted, what they are, and where they go.
Tensor CollectPass::rows_of(std::size_t number, const Tensor& live, const Batch& batch, Tensor& places,
                            CollectedRows& rows) const {
  const Site& site = sites_[number];
  const auto texts = static_cast<std::int64_t>(batch.texts.size());
  Tensor value = split_heads(live.detach(), site);
  // Token ids and the like, [batch, pos], which have no features.
  const bool bare = site.axes.empty() && !value.is_floating_point() && value.dim() == 2 && value.size(0) == texts &&
                    value.size(1) == batch.positions;
  const std::vector<Axis> axes = bare ? std::vector<Axis>{Axis::kBatch, Axis::kPos} : value_axes(site, value.dim());
  const std::int64_t batch_axis = place_of(axes, Axis::kBatch), position_axis = place_of(axes, Axis::kPos);
  rows.by_position = position_axis >= 0;
  rows.by_key = !axes.empty() && axes.back() == Axis::kKey;
  rows.dtype = value.is_floating_point() ? dtype_ : value.scalar_type();
  const bool fits = value.size(batch_axis) == texts &&
                    (!rows.by_position || value.size(position_axis) == batch.positions) &&
                    (!rows.by_key || value.size(-1) == batch.positions);
  if (!fits) {
    throw PlanError(site_text(site) + ": a value of shape " + shape_text(live.sizes()) + " has no row for each of " +
                    std::to_string(texts) + " texts of " + std::to_string(batch.positions) + " positions");
  }
  if (!rows.by_position) {
    places = batch.text_places;
    return value.movedim(batch_axis, 0);
  }
  places = batch.places;
  value = value.movedim({batch_axis, position_axis}, {0, 1});
  Tensor picked = value.flatten(0, 1).index_select(0, batch.taken.to(value.device(), /*non_blocking=*/true));
  if (rows.by_key) {
    const Tensor columns = torch::arange(batch.positions, batch.keys.options());
    Tensor own = columns.unsqueeze(0) < batch.keys.unsqueeze(1);  // [rows, keys]
    std::vector<std::int64_t> shape(static_cast<std::size_t>(picked.dim()), 1);
    shape.front() = own.size(0);
    shape.back() = own.size(1);
    picked = picked.masked_fill(own.view(shape).logical_not().to(picked.device()), 0);
  }
  return picked;
}

void CollectPass::forward(Batch& batch) {
  std::size_t pending = sites_.size();
  HookTable table;
  batch.rows.resize(sites_.size());
  const auto keep = [&](std::size_t site, const Tensor& places, const Tensor& rows) {
    if (batch.values == nullptr || places.numel() == 0) return;
    Batch::Picked some{site, places, rows.to(batch.rows[site].dtype)};
    if (!rows.device().is_cpu()) {
      // A copy where `to` made none: what the model makes of it later is no business of this one's.
      if (some.values.is_same(rows) || some.values.is_alias_of(rows)) some.values = some.values.clone();
      batch.picked.push_back(std::move(some));
    } else {
      batch.put(some);
    }
  };
  for (std::size_t number = 0; number < sites_.size(); ++number) {
    const Site& site = sites_[number];
    const auto once = [&, number](const HookContext& context) {
      if (context.call > 0) {
        throw PlanError(site_text(sites_[number]) +
                        ": the site fired more than once in one run, which collecting cannot tell apart");
      }
      Tensor places;
      const Tensor rows = rows_of(number, context.value(), batch, places, batch.rows[number]);
      batch.rows[number].shape = rows.sizes().slice(1).vec();
      if (batch.rows[number].by_key) batch.rows[number].shape.back() = 0;
      keep(number, places, rows);
      if (--pending == 0) context.scope.stop();
    };
    const auto by_step = [&, number,
                          backward = site.calls == CallOrder::kPositionsBackward](const HookContext& context) {
      const Tensor value = split_heads(context.value().detach(), sites_[number]);
      batch.rows[number] = {value.is_floating_point() ? dtype_ : value.scalar_type(), true, false,
                            value.sizes().slice(1).vec()};
      const auto [rows, places] = batch.at_column(backward ? batch.positions - 1 - context.call : context.call);
      keep(number, places, rows.numel() == 0 ? value : value.index_select(0, rows.to(value.device())));
      if (context.call + 1 == batch.positions && --pending == 0) context.scope.stop();
    };
    if (site.calls == CallOrder::kUnknown) {
      table.on(site.id, site.phase, once, site_text(site));
    } else {
      table.on(site.id, site.phase, by_step, site_text(site));
    }
  }
  const models::Batch input = batch.input(lm_);
  const HookScope scope(table);
  run_until_stopped([&] { lm_.model->forward(input); });
  for (const Site& site : sites_) {
    if (scope.fire_count(site.id, site.phase) == 0)
      throw PlanError("the model did not reach " + site_text(site) + " in this run, so nothing is there to collect");
  }
  for (const Batch::Picked& some : batch.picked) batch.put(some);
}

std::vector<CollectedRows> CollectPass::probe(const std::vector<std::int64_t>& ids) {
  CollectText text{0, 0, ids, {0}};
  const std::vector<CollectText*> texts{&text};
  Batch batch(texts);
  forward(batch);
  return batch.rows;
}

void CollectPass::run(const std::vector<CollectText*>& texts, std::vector<Tensor>& values) {
  Batch batch(texts);
  batch.values = &values;
  forward(batch);
}

}  // namespace vene::detail

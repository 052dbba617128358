// SPDX-License-Identifier: Apache-2.0
#include "vene/core/collected_folder.h"

#include <torch/utils.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>

#include "src/core/collect_index.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using torch::Tensor;

// Keys are filled with zeros.
Tensor widened(const Tensor& values, std::int64_t keys) {
  return torch::constant_pad_nd(values, {0, keys - values.size(-1)});
}

std::int64_t at(const Tensor& list, std::int64_t i) {
  return list.const_data_ptr<std::int64_t>()[i];
}

}  // namespace

struct CollectedFolder::Shards {
  std::string folder;
  detail::CollectIndex index;
  std::int64_t texts = 0, rows = 0;

  // Opened when it is first read.
  const io::Safetensors& file(std::size_t number) const {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!files[number]) files[number] = detail::open_shard(folder, index, number);
    return *files[number];
  }
  // The shard of a row, or with `by_text` of a text.
  std::size_t shard_of(std::int64_t number, bool by_text) const {
    const auto found = std::upper_bound(
        index.shards.begin(), index.shards.end(), number,
        [&](std::int64_t wanted, const detail::CollectedShard& shard) { return wanted < first(shard, !by_text); });
    return static_cast<std::size_t>(found - index.shards.begin()) - 1;
  }
  static std::int64_t first(const detail::CollectedShard& shard, bool by_position) {
    return by_position ? shard.first_row : shard.first_text;
  }
  static std::int64_t count(const detail::CollectedShard& shard, bool by_position) {
    return by_position ? shard.rows : shard.texts;
  }

  mutable std::mutex mutex;
  mutable std::vector<std::optional<io::Safetensors>> files;
};

CollectedFolder CollectedFolder::open(const std::string& folder) {
  const auto shards = std::make_shared<Shards>();
  shards->folder = folder;
  shards->index = detail::read_index(folder);
  shards->files.resize(shards->index.shards.size());
  if (!shards->index.shards.empty()) {
    const detail::CollectedShard& last = shards->index.shards.back();
    shards->texts = last.first_text + last.texts;
    shards->rows = last.first_row + last.rows;
  }
  CollectedFolder opened;
  opened.shards_ = shards;
  return opened;
}

bool CollectedFolder::complete() const {
  return shards_->index.complete();
}
std::int64_t CollectedFolder::texts() const {
  return shards_->texts;
}
std::int64_t CollectedFolder::rows() const {
  return shards_->rows;
}
std::int64_t CollectedFolder::shards() const {
  return static_cast<std::int64_t>(shards_->index.shards.size());
}
std::string CollectedFolder::model_architecture() const {
  return shards_->index.model.architecture;
}
std::string CollectedFolder::data_digest() const {
  return shards_->index.digest;
}
const std::vector<CollectedSite>& CollectedFolder::sites() const {
  return shards_->index.sites;
}

const CollectedSite& CollectedFolder::site(const std::string& name) const {
  std::vector<std::string> names;
  for (const CollectedSite& site : sites()) {
    if (site.name == name) return site;
    names.push_back(site.name);
  }
  throw PlanError(shards_->folder + " holds no values of '" + name + "'" + name_hint(name, names));
}

std::int64_t CollectedFolder::rows_of(const std::string& site) const {
  return this->site(site).by_position ? rows() : texts();
}

Tensor CollectedFolder::values(const std::string& name) const {
  return values(name, 0, rows_of(name));
}

Tensor CollectedFolder::values(const std::string& name, std::int64_t begin, std::int64_t end) const {
  const CollectedSite& site = this->site(name);
  if (begin < 0 || end < begin || end > rows_of(name)) {
    throw PlanError(shards_->folder + ": rows " + std::to_string(begin) + " to " + std::to_string(end) + " of '" +
                    name + "' are not among its " + std::to_string(rows_of(name)));
  }
  std::vector<Tensor> pieces;
  std::int64_t keys = 0;
  for (std::int64_t row = begin; row < end;) {
    const std::size_t number = shards_->shard_of(row, !site.by_position);
    const detail::CollectedShard& shard = shards_->index.shards[number];
    const std::int64_t first = Shards::first(shard, site.by_position);
    const std::int64_t count = std::min(end - row, first + Shards::count(shard, site.by_position) - row);
    pieces.push_back(shards_->file(number).tensor(name).narrow(0, row - first, count));
    if (site.by_key) keys = std::max(keys, pieces.back().size(-1));
    row += count;
  }
  if (pieces.empty()) {
    std::vector<std::int64_t> shape = site.shape;
    shape.insert(shape.begin(), 0);
    return torch::empty(shape, site.dtype);
  }
  if (pieces.size() == 1) return pieces[0];
  if (site.by_key) {
    for (Tensor& piece : pieces) piece = widened(piece, keys);
  }
  return torch::cat(pieces, 0);
}

Tensor CollectedFolder::values(const std::string& name, const Tensor& rows) const {
  const CollectedSite& site = this->site(name);
  const Tensor wanted = rows.to(torch::kCPU, torch::kInt64).contiguous();
  std::vector<std::vector<std::int64_t>> places(shards_->index.shards.size()), local(places.size());
  for (std::int64_t i = 0; i < wanted.numel(); ++i) {
    const std::int64_t row = at(wanted, i);
    if (row < 0 || row >= rows_of(name)) {
      throw PlanError(shards_->folder + ": row " + std::to_string(row) + " of '" + name + "' is not among its " +
                      std::to_string(rows_of(name)));
    }
    const std::size_t number = shards_->shard_of(row, !site.by_position);
    places[number].push_back(i);
    local[number].push_back(row - Shards::first(shards_->index.shards[number], site.by_position));
  }
  std::vector<Tensor> pieces, order;
  std::int64_t keys = 0;
  for (std::size_t number = 0; number < places.size(); ++number) {
    if (places[number].empty()) continue;
    pieces.push_back(shards_->file(number).tensor(name).index_select(0, torch::tensor(local[number], torch::kInt64)));
    order.push_back(torch::tensor(places[number], torch::kInt64));
    if (site.by_key) keys = std::max(keys, pieces.back().size(-1));
  }
  if (pieces.empty()) return values(name, 0, 0);
  if (site.by_key) {
    for (Tensor& piece : pieces) piece = widened(piece, keys);
  }
  if (pieces.size() == 1) return pieces[0];  // in the order that was asked for
  const Tensor joined = torch::cat(pieces, 0);
  return torch::empty_like(joined).index_copy_(0, torch::cat(order, 0), joined);
}

std::pair<std::int64_t, std::int64_t> CollectedFolder::rows_of_text(std::int64_t text) const {
  if (text < 0 || text >= texts()) {
    throw PlanError(shards_->folder + ": text " + std::to_string(text) + " is not among its " +
                    std::to_string(texts()));
  }
  const std::size_t number = shards_->shard_of(text, /*by_text=*/true);
  const detail::CollectedShard& shard = shards_->index.shards[number];
  const Tensor first = shards_->file(number).tensor(detail::kTextRow);
  const std::int64_t local = text - shard.first_text;
  const std::int64_t begin = at(first, local), end = at(first, local + 1);
  if (begin < 0 || end < begin || end > shard.rows)
    throw IoError(shards_->folder + "/" + shard.file + ": its rows do not belong to its texts");
  return {shard.first_row + begin, shard.first_row + end};
}

Tensor CollectedFolder::of_text(const std::string& name, std::int64_t text) const {
  const CollectedSite& site = this->site(name);
  const auto [begin, end] = rows_of_text(text);
  Tensor found = site.by_position ? values(name, begin, end) : values(name, text, text + 1);
  if (!site.by_key) return found;
  const std::size_t number = shards_->shard_of(text, /*by_text=*/true);
  const std::int64_t tokens =
      at(shards_->file(number).tensor(detail::kTextTokens), text - shards_->index.shards[number].first_text);
  if (tokens < 0 || tokens > found.size(-1))
    throw IoError(shards_->folder + "/" + shards_->index.shards[number].file + ": its rows do not belong to its texts");
  return found.narrow(-1, 0, tokens);
}

CollectedRow CollectedFolder::row(std::int64_t row) const {
  if (row < 0 || row >= rows())
    throw PlanError(shards_->folder + ": row " + std::to_string(row) + " is not among its " + std::to_string(rows()));
  const std::size_t number = shards_->shard_of(row, /*by_text=*/false);
  const io::Safetensors& file = shards_->file(number);
  const std::int64_t local = row - shards_->index.shards[number].first_row;
  return {at(file.tensor(detail::kRowText), local), at(file.tensor(detail::kRowPosition), local),
          at(file.tensor(detail::kRowToken), local)};
}

}  // namespace vene

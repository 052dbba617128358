// SPDX-License-Identifier: Apache-2.0
#include "vene/core/collect.h"

#include <torch/utils.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "src/base/digest.h"
#include "src/core/collect_index.h"
#include "src/core/collect_pass.h"
#include "src/core/fingerprint.h"
#include "src/core/text_data.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/hooks/site_pattern.h"
#include "vene/io/files.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using detail::CollectedShard;
using detail::CollectIndex;
using detail::CollectText;
using torch::Tensor;

void check(const CollectOptions& options) {
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) {
      throw ConfigError(std::string(name) + ": expected at least " + std::to_string(least) + ", got " +
                        std::to_string(value));
    }
  };
  at_least("max_tokens", options.max_tokens, 0);
  at_least("shard_bytes", options.shard_bytes, 1);
  at_least("batch_tokens", options.batch_tokens, 1);
  if (options.sites.empty()) throw ConfigError("sites: expected at least one component name, path or pattern");
  if (options.layers && options.layers->empty()) throw ConfigError("layers: expected at least one");
}

std::string name_of(const Site& site) {
  if (site.component.empty()) return site.path;
  return site.layer < 0 ? site.component : site.component + "." + std::to_string(site.layer);
}

std::vector<Site> sites_of(const models::Model& model, const CollectOptions& options) {
  std::vector<Site> sites;
  for (const std::string& wanted : options.sites) {
    for (Site& site : sites_matching(model.sites(), wanted, options.layers)) {
      const bool known =
          std::any_of(sites.begin(), sites.end(), [&](const Site& other) { return name_of(other) == name_of(site); });
      if (!known) sites.push_back(std::move(site));
    }
  }
  return sites;
}

CollectedSite described(const Site& site, const detail::CollectedRows& rows) {
  return {name_of(site), site.component, site.layer, site.path, rows.dtype, rows.by_position, rows.by_key, rows.shape};
}

std::int64_t bytes_of_row(const CollectedSite& site, std::int64_t keys) {
  std::int64_t bytes = static_cast<std::int64_t>(c10::elementSize(site.dtype));
  for (std::size_t i = 0; i < site.shape.size(); ++i)
    bytes *= site.by_key && i + 1 == site.shape.size() ? keys : site.shape[i];
  return bytes;
}

// What a shard is to hold, and where its texts begin in the data.
struct ShardPlan {
  CollectedShard shard;
  detail::TextData::Place place;
  std::int64_t keys = 0;  // most tokens of a text
};

// Which texts share a forward: of about a length, as many as fit.
std::vector<std::vector<CollectText*>> batches(std::vector<CollectText>& texts, std::int64_t tokens, bool one_length) {
  std::vector<CollectText*> order;
  for (CollectText& text : texts) order.push_back(&text);
  std::stable_sort(order.begin(), order.end(),
                   [](const CollectText* a, const CollectText* b) { return a->ids.size() > b->ids.size(); });
  std::vector<std::vector<CollectText*>> all;
  for (CollectText* text : order) {
    const bool joins = !all.empty() &&
                       static_cast<std::int64_t>((all.back().size() + 1) * all.back()[0]->ids.size()) <= tokens &&
                       (!one_length || all.back()[0]->ids.size() == text->ids.size());
    if (!joins) all.emplace_back();
    all.back().push_back(text);
  }
  return all;
}

// A folder that is made, and taken away again where nothing was written into it.
class MadeFolder {
 public:
  explicit MadeFolder(const std::string& path) : made_(io::make_folder(path)) {}
  ~MadeFolder() {
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) ::rmdir(made->c_str());  // only where empty
  }
  MadeFolder(const MadeFolder&) = delete;
  MadeFolder& operator=(const MadeFolder&) = delete;

 private:
  std::vector<std::string> made_;
};

class Collecting {
 public:
  Collecting(const models::LanguageModel& lm, std::string data, std::string folder, const CollectOptions& options)
      : lm_(lm), data_(std::move(data)), folder_(std::move(folder)), options_(options) {}

  CollectReport run() {
    check(options_);
    if (lm_.model->vocabulary_size() == 0)
      throw ModelError("collecting reads texts, and " + lm_.model->architecture() + " takes no tokens");
    const torch::NoGradGuard no_grad;
    sites_ = sites_of(*lm_.model, options_);
    std::optional<CollectIndex> before = found_before();
    const MadeFolder made(folder_);
    const io::FolderLock lock(folder_);
    detail::CollectPass pass(lm_, sites_, options_.dtype);
    plan(pass);
    if (before) check_same(*before);
    CollectReport report;
    report.sites = index_.sites;
    std::vector<bool> kept(plans_.size());
    std::int64_t to_do = 0, done = 0;
    for (std::size_t number = 0; number < plans_.size(); ++number) {
      kept[number] = before && is_kept(*before, number);
      if (!kept[number]) to_do += plans_[number].shard.texts;
    }
    if (before) index_.shards = before->shards;
    if (!before) detail::write_index(folder_, index_);
    for (std::size_t number = 0; number < plans_.size(); ++number) {
      const ShardPlan& plan = plans_[number];
      report.texts += plan.shard.texts;
      report.rows += plan.shard.rows;
      report.bytes += bytes_of(plan.shard, plan.keys);
      ++report.shards;
      if (kept[number]) {
        ++report.kept_shards;
        continue;
      }
      make_shard(pass, plan, done, to_do);
      if (number < index_.shards.size()) continue;  // it was there once
      index_.shards.push_back(plan.shard);
      detail::write_index(folder_, index_);
    }
    return report;
  }

 private:
  // The index of the run to go on from.
  std::optional<CollectIndex> found_before() const {
    std::error_code unreadable;  // which making the folder tells of
    const fs::path index = fs::path(folder_) / detail::kIndexFile;
    if (options_.resume) {
      if (!fs::exists(index, unreadable))
        throw IoError(folder_ + ": has no index.json, so there is nothing to resume; collect into it first");
      return detail::read_index(folder_);
    }
    if (!fs::is_directory(folder_, unreadable)) return std::nullopt;
    for (const auto& entry : fs::directory_iterator(folder_, unreadable)) {
      if (entry.path().filename().string().starts_with(".vene-")) continue;
      throw IoError(folder_ + ": is not empty; resume goes on with a run that was stopped there");
    }
    return std::nullopt;
  }

  void tell(std::int64_t done, std::int64_t all) const {
    if (options_.progress && !options_.progress(static_cast<std::size_t>(done), static_cast<std::size_t>(all)))
      throw PlanError("collecting was cancelled after " + std::to_string(done) + " texts");
  }

  // Where a text's values are wanted.
  std::vector<std::int64_t> positions_of(std::int64_t tokens, const std::string& where) const {
    std::vector<std::int64_t> positions = options_.positions;
    if (positions.empty()) {
      positions.resize(static_cast<std::size_t>(tokens));
      std::iota(positions.begin(), positions.end(), std::int64_t{0});
    }
    for (std::int64_t& position : positions) {
      const std::int64_t given = position;
      if (position < 0) position += tokens;
      if (position < 0 || position >= tokens) {
        throw LocationError(where + ": position " + std::to_string(given) + " is out of range, the text has " +
                            std::to_string(tokens) + (tokens == 1 ? " token" : " tokens"));
      }
    }
    return positions;
  }

  std::int64_t bytes_of(const CollectedShard& shard, std::int64_t keys) const {
    std::int64_t bytes = 0;
    for (const CollectedSite& site : index_.sites)
      bytes += (site.by_position ? shard.rows : shard.texts) * bytes_of_row(site, keys);
    return bytes;
  }

  // Reads all of the data once: what is wrong with a text is told before the model runs.
  void plan(detail::CollectPass& pass) {
    detail::TextData data(lm_, data_, options_.max_tokens);
    detail::Digest all;
    detail::Digest of_shard;
    std::vector<std::int64_t> ids;
    for (detail::TextData::Place place = data.place(); data.next(ids); place = data.place()) {
      const auto tokens = static_cast<std::int64_t>(ids.size());
      const auto rows = static_cast<std::int64_t>(positions_of(tokens, data.where()).size());
      if (index_.texts == 0) describe_sites(pass, ids);
      bool fits = !plans_.empty();
      if (fits) {
        CollectedShard grown = plans_.back().shard;
        ++grown.texts;
        grown.rows += rows;
        fits = bytes_of(grown, std::max(plans_.back().keys, tokens)) <= options_.shard_bytes;
      }
      if (!fits) {
        end_shard(of_shard);
        of_shard = {};
        const CollectedShard none{};
        const CollectedShard& last = plans_.empty() ? none : plans_.back().shard;
        ShardPlan next{
            {detail::shard_name(plans_.size()), last.first_text + last.texts, 0, last.first_row + last.rows, 0, ""},
            place,
            0};
        plans_.push_back(std::move(next));
      }
      ShardPlan& now = plans_.back();
      ++now.shard.texts;
      now.shard.rows += rows;
      now.keys = std::max(now.keys, tokens);
      ++index_.texts;
      index_.tokens += tokens;
      for (detail::Digest* digest : {&all, &of_shard}) {
        digest->add(tokens);
        digest->add(ids.data(), ids.size() * sizeof ids[0]);
      }
      tell(0, index_.texts);
    }
    if (plans_.empty()) throw ConfigError(data_ + ": expected one text a line, got none");
    end_shard(of_shard);
    index_.digest = all.text();
    index_.model = detail::fingerprint(*lm_.model, {});
    index_.dtype = c10::getDtypeNames(lm_.model->dtype()).first;
    index_.positions = options_.positions;
    index_.max_tokens = options_.max_tokens;
    index_.batch_tokens = options_.batch_tokens;
    index_.shard_bytes = options_.shard_bytes;
  }

  void end_shard(const detail::Digest& digest) {
    if (!plans_.empty()) plans_.back().shard.digest = digest.text();
  }

  void describe_sites(detail::CollectPass& pass, const std::vector<std::int64_t>& ids) {
    const std::vector<detail::CollectedRows> rows = pass.probe(ids);
    for (std::size_t i = 0; i < sites_.size(); ++i) index_.sites.push_back(described(sites_[i], rows[i]));
  }

  // What differs is named, the largest difference first.
  void check_same(const CollectIndex& before) const {
    const std::string where = (fs::path(folder_) / detail::kIndexFile).string() + ": ";
    const auto text = [](const ModelFingerprint& model, const std::string& dtype) {
      return model.architecture + " of " + std::to_string(model.layers) + " layers and width " +
             std::to_string(model.hidden_size) + " in " + dtype + ", weights " + model.weights;
    };
    const std::string with = "; resume goes on with the same model, sites, options and data";
    if (before.model != index_.model || before.dtype != index_.dtype) {
      throw IoError(where + "was collected from another model (" + text(before.model, before.dtype) +
                    "), this one is " + text(index_.model, index_.dtype) + with);
    }
    if (before.digest != index_.digest) {
      throw IoError(where + "was collected from other data (" + std::to_string(before.texts) + " texts, digest " +
                    before.digest + "), " + data_ + " has " + std::to_string(index_.texts) + " texts, digest " +
                    index_.digest + with);
    }
    if (before.sites != index_.sites) {
      const auto names = [](const CollectIndex& index) {
        std::vector<std::string> all;
        for (const CollectedSite& site : index.sites)
          all.push_back(site.name + " in " + std::string(c10::getDtypeNames(site.dtype).first));
        return join(all);
      };
      throw IoError(where + "holds other sites (" + names(before) + "), asked for are " + names(index_) + with);
    }
    const auto same = [&](const char* name, const std::string& was, const std::string& is) {
      if (was != is) throw IoError(where + "was collected with " + name + " " + was + ", now it is " + is + with);
    };
    const auto list = [](const std::vector<std::int64_t>& positions) {
      return positions.empty() ? std::string("all") : shape_text(positions);
    };
    same("positions", list(before.positions), list(index_.positions));
    same("max_tokens", std::to_string(before.max_tokens), std::to_string(index_.max_tokens));
    same("batch_tokens", std::to_string(before.batch_tokens), std::to_string(index_.batch_tokens));
    same("shard_bytes", std::to_string(before.shard_bytes), std::to_string(index_.shard_bytes));
  }

  // Whether a shard is there from before. One that was taken away is made again.
  bool is_kept(const CollectIndex& before, std::size_t number) const {
    if (number >= before.shards.size()) return false;
    std::error_code unreadable;
    if (!fs::exists(fs::path(folder_) / before.shards[number].file, unreadable) && !unreadable) return false;
    try {
      detail::open_shard(folder_, before, number);
    } catch (const IoError& error) {
      throw IoError(std::string(error.what()) + "; without that file, resume makes it again");
    }
    return true;
  }

  std::vector<CollectText> texts_of(const ShardPlan& plan) const {
    detail::TextData data(lm_, data_, options_.max_tokens);
    data.go_to(plan.place);
    std::vector<CollectText> texts;
    detail::Digest digest;
    std::int64_t row = 0;
    while (static_cast<std::int64_t>(texts.size()) < plan.shard.texts) {
      CollectText text;
      if (!data.next(text.ids)) break;
      text.number = static_cast<std::int64_t>(texts.size());
      text.first_row = row;
      text.positions = positions_of(static_cast<std::int64_t>(text.ids.size()), data.where());
      row += static_cast<std::int64_t>(text.positions.size());
      digest.add(static_cast<std::int64_t>(text.ids.size()));
      digest.add(text.ids.data(), text.ids.size() * sizeof text.ids[0]);
      texts.push_back(std::move(text));
    }
    if (digest.text() != plan.shard.digest) throw IoError(data_ + ": was changed while its texts were read");
    return texts;
  }

  void make_shard(detail::CollectPass& pass, const ShardPlan& plan, std::int64_t& done, std::int64_t to_do) const {
    std::vector<CollectText> texts = texts_of(plan);
    io::NamedTensors tensors;
    std::vector<Tensor> values;
    for (const CollectedSite& site : index_.sites) {
      std::vector<std::int64_t> shape = site.shape;
      if (site.by_key) shape.back() = plan.keys;
      shape.insert(shape.begin(), site.by_position ? plan.shard.rows : plan.shard.texts);
      // Where a row has fewer keys than the longest text, zeros stay.
      values.push_back(site.by_key ? torch::zeros(shape, site.dtype) : torch::empty(shape, site.dtype));
      tensors.emplace_back(site.name, values.back());
    }
    for (const auto& batch : batches(texts, options_.batch_tokens, pass.one_length())) {
      tell(done, to_do);
      pass.run(batch, values);
      done += static_cast<std::int64_t>(batch.size());
    }
    tell(done, to_do);
    std::vector<std::int64_t> text_of, position_of, token_of, first_row, tokens;
    for (const CollectText& text : texts) {
      first_row.push_back(text.first_row);
      tokens.push_back(static_cast<std::int64_t>(text.ids.size()));
      for (const std::int64_t position : text.positions) {
        text_of.push_back(plan.shard.first_text + text.number);
        position_of.push_back(position);
        token_of.push_back(text.ids[static_cast<std::size_t>(position)]);
      }
    }
    first_row.push_back(plan.shard.rows);
    tensors.emplace_back(detail::kRowText, torch::tensor(text_of, torch::kInt64));
    tensors.emplace_back(detail::kRowPosition, torch::tensor(position_of, torch::kInt64));
    tensors.emplace_back(detail::kRowToken, torch::tensor(token_of, torch::kInt64));
    tensors.emplace_back(detail::kTextRow, torch::tensor(first_row, torch::kInt64));
    tensors.emplace_back(detail::kTextTokens, torch::tensor(tokens, torch::kInt64));
    io::write_safetensors((fs::path(folder_) / plan.shard.file).string(), tensors,
                          {{"run", index_.run()}, {"texts", plan.shard.digest}});
  }

  const models::LanguageModel& lm_;
  std::string data_, folder_;
  const CollectOptions& options_;
  std::vector<Site> sites_;
  std::vector<ShardPlan> plans_;
  CollectIndex index_;
};

}  // namespace

CollectReport collect(const models::LanguageModel& model, const std::string& data, const std::string& folder,
                      const CollectOptions& options) {
  return Collecting(model, data, folder, options).run();
}

}  // namespace vene

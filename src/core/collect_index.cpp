// SPDX-License-Identifier: Apache-2.0
#include "src/core/collect_index.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "src/base/digest.h"
#include "src/base/json_reader.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"
#include "vene/io/files.h"

namespace vene::detail {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;

// What values are kept in.
const std::vector<torch::ScalarType> kDtypes{torch::kFloat32, torch::kFloat64, torch::kFloat16, torch::kBFloat16,
                                             torch::kInt64,   torch::kInt32,   torch::kBool};

std::string name_of(torch::ScalarType dtype) {
  return std::string(c10::getDtypeNames(dtype).first);
}

OrderedJson settings_json(const CollectIndex& index) {
  OrderedJson json;
  json["model"] = {{"architecture", index.model.architecture}, {"layers", index.model.layers},
                   {"hidden_size", index.model.hidden_size},   {"vocabulary", index.model.vocabulary},
                   {"weights", index.model.weights},           {"dtype", index.dtype}};
  json["data"] = {{"texts", index.texts}, {"tokens", index.tokens}, {"digest", index.digest}};
  json["positions"] = index.positions.empty() ? OrderedJson("all") : OrderedJson(index.positions);
  json["max_tokens"] = index.max_tokens;
  json["batch_tokens"] = index.batch_tokens;
  json["shard_bytes"] = index.shard_bytes;
  json["sites"] = OrderedJson::array();
  for (const CollectedSite& site : index.sites) {
    OrderedJson entry;
    entry["name"] = site.name;
    entry["component"] = site.component.empty() ? OrderedJson() : OrderedJson(site.component);
    entry["layer"] = site.layer < 0 ? OrderedJson() : OrderedJson(site.layer);
    entry["path"] = site.path;
    entry["dtype"] = name_of(site.dtype);
    entry["rows"] = site.by_position ? "position" : "text";
    entry["by_key"] = site.by_key;
    entry["shape"] = site.shape;
    json["sites"].push_back(entry);
  }
  return json;
}

CollectedSite read_site(JsonReader entry) {
  CollectedSite site;
  site.name = entry.at("name").some_text();
  if (const auto component = entry.find("component")) site.component = component->text();
  if (const auto layer = entry.find("layer")) site.layer = layer->integer();
  site.path = entry.at("path").text();
  std::vector<std::string> names;
  for (const torch::ScalarType dtype : kDtypes) names.push_back(name_of(dtype));
  site.dtype = kDtypes[entry.at("dtype").one_of("dtype", names)];
  site.by_position = entry.at("rows").one_of("kind of rows", {"position", "text"}) == 0;
  site.by_key = entry.at("by_key").boolean();
  for (const JsonReader& size : entry.at("shape").each("a list of sizes")) site.shape.push_back(size.integer("a size"));
  std::int64_t most = std::numeric_limits<std::int64_t>::max() / 64;
  for (const std::int64_t size : site.shape) {
    if (size < 0 || size > most) entry.at("shape").fail("has sizes that no value has");
    most /= std::max<std::int64_t>(size, 1);
  }
  if (site.by_key && site.shape.empty()) entry.at("shape").fail("has no axis for the keys");
  return site;
}

std::int64_t count(JsonReader& object, const char* key) {
  return object.at(key).integer("a count", 0, std::int64_t{1} << 48);
}

CollectIndex parse(const std::string& text) {
  const Json json = read_json<ConfigError>(text, "");
  JsonReader root = JsonReader::root(json, "");
  root.expect_object("what vene collect writes");
  if (root.at("format").text() != "vene collected values") root.at("format").expected("\"vene collected values\"");
  if (root.at("format_version").integer() != kFormat)
    root.at("format_version").expected(std::to_string(kFormat) + ", which this version reads");
  CollectIndex index;
  JsonReader model = root.at("model");
  index.model = {model.at("architecture").text(), model.at("layers").integer(), model.at("hidden_size").integer(),
                 model.at("vocabulary").integer(), model.at("weights").text()};
  index.dtype = model.at("dtype").text();
  JsonReader data = root.at("data");
  index.texts = count(data, "texts");
  index.tokens = count(data, "tokens");
  index.digest = data.at("digest").text();
  if (JsonReader positions = root.at("positions"); positions.json() != "all")
    index.positions = positions.integers("\"all\" or a list of positions", "a position");
  index.max_tokens = count(root, "max_tokens");
  index.batch_tokens = count(root, "batch_tokens");
  index.shard_bytes = count(root, "shard_bytes");
  for (const JsonReader& entry : root.at("sites").each("a list of sites")) index.sites.push_back(read_site(entry));
  std::int64_t texts = 0, rows = 0;
  for (JsonReader entry : root.at("shards").each("a list of shards")) {
    CollectedShard shard;
    shard.file = entry.at("file").some_text();
    if (shard.file != shard_name(index.shards.size()))
      entry.at("file").expected("'" + shard_name(index.shards.size()) + "'");
    shard.first_text = count(entry, "first_text");
    shard.texts = count(entry, "texts");
    shard.first_row = count(entry, "first_row");
    shard.rows = count(entry, "rows");
    shard.digest = entry.at("digest").text();
    if (shard.first_text != texts || shard.first_row != rows)
      entry.fail("does not begin where the shard before it ends");
    texts += shard.texts;
    rows += shard.rows;
    index.shards.push_back(std::move(shard));
  }
  if (texts > index.texts) root.at("shards").fail("hold more texts than the data has");
  return index;
}

[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw IoError(path + ": " + problem);
}

void check_tensor(const io::Safetensors& file, const std::string& path, const std::string& name,
                  torch::ScalarType dtype, std::vector<std::int64_t> shape, bool any_last = false) {
  const torch::Tensor tensor = file.tensor(name);
  std::vector<std::int64_t> came = tensor.sizes().vec();
  if (any_last && came.size() == shape.size()) came.back() = shape.back();
  if (came != shape || tensor.scalar_type() != dtype) {
    refuse(path, "'" + name + "' is " + name_of(tensor.scalar_type()) + " " + shape_text(tensor.sizes()) +
                     ", and the index says " + name_of(dtype) + " " + shape_text(shape));
  }
}

}  // namespace

bool CollectIndex::complete() const {
  return (shards.empty() ? 0 : shards.back().first_text + shards.back().texts) == texts;
}

std::string CollectIndex::run() const {
  Digest digest;
  digest.add(std::string_view(settings_json(*this).dump()));
  return digest.text();
}

std::string shard_name(std::size_t number) {
  char name[48];
  std::snprintf(name, sizeof name, "values-%05zu.safetensors", number);
  return name;
}

CollectIndex read_index(const std::string& folder) {
  const std::string path = (fs::path(folder) / kIndexFile).string();
  const std::string text = io::read_file(path);
  try {
    return parse(text);
  } catch (const ConfigError& error) {
    refuse(path, error.what());
  }
}

void write_index(const std::string& folder, const CollectIndex& index) {
  OrderedJson json;
  json["format"] = "vene collected values";
  json["format_version"] = kFormat;
  json["vene_version"] = build_info().version;
  json.update(settings_json(index));
  json["complete"] = index.complete();
  json["shards"] = OrderedJson::array();
  for (const CollectedShard& shard : index.shards) {
    json["shards"].push_back({{"file", shard.file},
                              {"first_text", shard.first_text},
                              {"texts", shard.texts},
                              {"first_row", shard.first_row},
                              {"rows", shard.rows},
                              {"digest", shard.digest}});
  }
  io::write_file((fs::path(folder) / kIndexFile).string(), written_json(json) + "\n");
}

io::Safetensors open_shard(const std::string& folder, const CollectIndex& index, std::size_t number) {
  const CollectedShard& shard = index.shards[number];
  const std::string path = (fs::path(folder) / shard.file).string();
  std::error_code unreadable;  // which opening tells of
  if (!fs::exists(path, unreadable) && !unreadable) refuse(path, "is missing, and the index beside it names it");
  io::Safetensors file = io::Safetensors::open(path);
  const auto says = [&](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (says("run") != index.run() || says("texts") != shard.digest)
    refuse(path, "is a shard of another run than the index beside it is of");
  for (const char* name : {kRowText, kRowPosition, kRowToken})
    check_tensor(file, path, name, torch::kInt64, {shard.rows});
  check_tensor(file, path, kTextRow, torch::kInt64, {shard.texts + 1});
  check_tensor(file, path, kTextTokens, torch::kInt64, {shard.texts});
  for (const CollectedSite& site : index.sites) {
    std::vector<std::int64_t> shape = site.shape;
    shape.insert(shape.begin(), site.by_position ? shard.rows : shard.texts);
    check_tensor(file, path, site.name, site.dtype, std::move(shape), site.by_key);
  }
  return file;
}

}  // namespace vene::detail

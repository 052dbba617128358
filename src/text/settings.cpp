// SPDX-License-Identifier: Apache-2.0
#include "src/text/settings.h"

#include <algorithm>

#include "vene/base/error.h"

namespace vene::text {
namespace {

namespace fs = std::filesystem;
using detail::Json;

constexpr const char* kNames[] = {"bos", "eos", "unk", "sep", "pad", "cls", "mask"};

// A JSON file of the folder, or an empty object.
Json optional_json(const fs::path& path) {
  if (!fs::exists(path)) return Json::object();
  Json json = read_json_file(path.string());
  return json.is_object() ? json : Json::object();
}

// A token as a text or as {"content": text, "lstrip": true ...}.
std::optional<AddedToken> token_of(const Json& json, const std::string& where) {
  AddedToken token;
  token.special = true;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    return token;
  }
  if (!json.is_object() || !json.contains("content")) return std::nullopt;
  const Part part(json, where, "a token");
  token.content = part.text("content");
  token.special = part.flag("special", true);
  token.left_strip = part.flag("lstrip", false);
  token.right_strip = part.flag("rstrip", false);
  token.single_word = part.flag("single_word", false);
  token.normalized = part.flag("normalized", false);
  return token;
}

}  // namespace

Settings::Settings(const fs::path& folder)
    : tokenizer_(optional_json(folder / "tokenizer_config.json")),
      special_(optional_json(folder / "special_tokens_map.json")),
      added_(optional_json(folder / "added_tokens.json")),
      model_(optional_json(folder / "config.json")),
      generation_(optional_json(folder / "generation_config.json")),
      folder_(folder.string()) {
  class_ = text("tokenizer_class").value_or("");
  if (class_.ends_with("Fast")) class_.resize(class_.size() - 4);
  if (class_ == "PreTrainedTokenizer" || class_ == "TokenizersBackend") class_.clear();
  if (class_.empty() && model_.contains("model_type") && model_["model_type"].is_string()) {
    const std::string type = model_["model_type"].get<std::string>();
    for (const auto& [model, name] : {std::pair("qwen2", "Qwen2Tokenizer"), std::pair("qwen3", "Qwen2Tokenizer"),
                                      std::pair("roberta", "RobertaTokenizer"), std::pair("bert", "BertTokenizer"),
                                      std::pair("esm", "EsmTokenizer"), std::pair("gpt2", "GPT2Tokenizer")}) {
      if (type == model) class_ = name;
    }
  }
}

std::optional<bool> Settings::flag(const char* key) const {
  const auto found = tokenizer_.find(key);
  return found != tokenizer_.end() && found->is_boolean() ? std::optional(found->get<bool>()) : std::nullopt;
}

std::optional<std::string> Settings::text(const char* key) const {
  const auto found = tokenizer_.find(key);
  return found != tokenizer_.end() && found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
}

std::optional<std::string> Settings::named(const std::string& name) const {
  for (const Json* source : {&tokenizer_, &special_}) {
    const auto found = source->find(name + "_token");
    if (found == source->end()) continue;
    if (const auto token = token_of(*found, folder_)) return token->content;
  }
  return std::nullopt;
}

std::string Settings::named(const std::string& name, const char* otherwise) const {
  return named(name).value_or(otherwise);
}

std::optional<std::int64_t> Settings::model_id(const std::string& name, std::int64_t size) const {
  const auto found = model_.find(name + "_token_id");
  if (found != model_.end() && found->is_number_integer() && found->get<std::int64_t>() >= 0 &&
      found->get<std::int64_t>() < size)
    return found->get<std::int64_t>();
  return std::nullopt;
}

std::vector<std::int64_t> Settings::ends(std::optional<std::int64_t> eos) const {
  std::vector<std::int64_t> all;
  const auto add = [&](std::int64_t id) {
    if (std::find(all.begin(), all.end(), id) == all.end()) all.push_back(id);
  };
  if (eos) add(*eos);
  for (const auto& [source, name] :
       {std::pair(&generation_, "generation_config.json"), std::pair(&model_, "config.json")}) {
    const auto found = source->find("eos_token_id");
    if (found == source->end() || found->is_null()) continue;
    const Json ids = found->is_array() ? *found : Json::array({*found});
    for (const Json& id : ids) {
      if (!id.is_number_integer())
        throw IoError(folder_ + "/" + name + ": eos_token_id: expected the id of a token or a list of them, got " +
                      detail::json_text(*found));
      if (id.get<std::int64_t>() >= 0) add(id.get<std::int64_t>());
    }
  }
  return all;
}

std::vector<Settings::Listed> Settings::listed() const {
  std::vector<Listed> all;
  const std::string where = folder_ + "/tokenizer_config.json";
  const auto decoder = tokenizer_.find("added_tokens_decoder");
  if (decoder != tokenizer_.end() && decoder->is_object()) {
    for (const auto& [key, value] : decoder->items()) {
      if (key.empty() || key.size() > 8 || key.find_first_not_of("0123456789") != std::string::npos)
        throw IoError(where + ": added_tokens_decoder: expected the id of a token, got '" + key + "'");
      auto token = token_of(value, where);
      if (!token) throw IoError(where + ": added_tokens_decoder: token " + key + " has no content");
      token->special = value.is_object() && value.contains("special") && value["special"].is_boolean() &&
                       value["special"].get<bool>();
      all.push_back({std::move(*token), std::stoll(key), false});
    }
  } else {
    for (const auto& [content, id] : added_.items()) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= (1U << 24))
        throw IoError(folder_ + "/added_tokens.json: the id of '" + content + "' is " + detail::json_text(id));
      AddedToken token;
      token.content = content;
      all.push_back({std::move(token), id.get<std::int64_t>(), false});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Listed& a, const Listed& b) { return *a.id < *b.id; });
  const auto special = [&](const Json& json) {
    auto token = token_of(json, where);
    if (!token) return;
    token->special = true;
    // A name for what is listed already only says that it is special.
    for (Listed& one : all) {
      if (one.token.content == token->content) {
        one.token.special = true;
        return;
      }
    }
    all.push_back({std::move(*token), std::nullopt, json.is_string()});
  };
  for (const char* name : kNames) {
    for (const Json* source : {&tokenizer_, &special_}) {
      const auto found = source->find(std::string(name) + "_token");
      if (found == source->end() || found->is_null()) continue;
      special(*found);
      break;
    }
  }
  for (const Json* source : {&tokenizer_, &special_}) {
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
      const auto found = source->find(key);
      if (found == source->end() || !found->is_structured()) continue;
      for (const Json& one : *found) special(one);
    }
  }
  return all;
}

void Settings::apply(PipelineParts& parts) const {
  for (Listed& one : listed()) {
    if (const AddedToken* known = parts.added.by_content(one.token.content); known != nullptr && one.named) {
      AddedToken again = *known;
      again.special = true;
      one.token = again;
    }
    parts.add(std::move(one.token));
  }
  const auto id = [&](const std::string& name) -> std::optional<std::int64_t> {
    if (const auto content = named(name)) {
      if (const auto found = parts.id_of(*content)) return found;
    }
    std::int64_t size = parts.model->vocabulary().size();
    for (const AddedToken& token : parts.added.all()) size = std::max(size, token.id + 1);
    return model_id(name, size);
  };
  parts.bos = id("bos");
  parts.eos = id("eos");
  parts.pad = id("pad");
  parts.ends = ends(parts.eos);
}

void Settings::put_around(PipelineParts& parts) const {
  parts.post_processor = around(flag("add_bos_token").value_or(false) ? parts.bos : std::nullopt,
                                flag("add_eos_token").value_or(false) ? parts.eos : std::nullopt);
}

}  // namespace vene::text

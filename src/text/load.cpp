// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/base/json_problem.h"
#include "src/text/sentence_piece.h"
#include "src/text/tokenizer_json.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A JSON file of the folder, or an empty object.
Json optional_json(const fs::path& path) {
  if (!fs::exists(path)) return Json::object();
  try {
    Json json = Json::parse(io::read_file(path.string()));
    return json.is_object() ? json : Json::object();
  } catch (const Json::exception& error) {
    throw IoError(path.string() + ": " + json_problem(error.what()));
  }
}

struct Settings {
  Json tokenizer, special, model;

  explicit Settings(const fs::path& folder)
      : tokenizer(optional_json(folder / "tokenizer_config.json")),
        special(optional_json(folder / "special_tokens_map.json")),
        model(optional_json(folder / "config.json")) {}

  // "bos_token" as a text or {"content": text}.
  std::optional<std::int64_t> id(const Tokenizer& from, const std::string& name) const {
    for (const Json* source : {&tokenizer, &special}) {
      const auto found = source->find(name + "_token");
      if (found == source->end()) continue;
      const Json& content = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
      if (content.is_string()) {
        if (const auto id = from.id_of(content.get<std::string>())) return id;
      }
    }
    const auto found = model.find(name + "_token_id");
    if (found != model.end() && found->is_number_integer() && found->get<std::int64_t>() >= 0 &&
        found->get<std::int64_t>() < from.size())
      return found->get<std::int64_t>();
    return std::nullopt;
  }
  bool flag(const char* name, bool otherwise) const {
    const auto found = tokenizer.find(name);
    return found != tokenizer.end() && found->is_boolean() ? found->get<bool>() : otherwise;
  }
};

std::shared_ptr<const Tokenizer> finished(std::unique_ptr<ByteLevelTokenizer> tokenizer, const Settings& settings,
                                          bool template_decides) {
  tokenizer->set_special(settings.id(*tokenizer, "bos"), settings.id(*tokenizer, "eos"),
                         settings.id(*tokenizer, "pad"));
  if (!template_decides)
    tokenizer->set_added_around(settings.flag("add_bos_token", false), settings.flag("add_eos_token", false));
  return tokenizer;
}

}  // namespace

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, bool special) const {
  std::vector<std::int64_t> ids;
  for (const Token& token : tokens(text, special)) ids.push_back(token.id);
  return ids;
}

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& folder) {
  const fs::path root(folder);
  if (!fs::is_directory(root)) throw IoError(folder + ": no such folder");
  const Settings settings(root);
  const bool has_model = fs::exists(root / "tokenizer.model");
  if (fs::exists(root / "tokenizer.json")) {
    if (auto tokenizer = read_tokenizer_json((root / "tokenizer.json").string()))
      return finished(std::move(tokenizer), settings, /*template_decides=*/true);
    if (!has_model)
      throw IoError((root / "tokenizer.json").string() + ": not a byte-level BPE, and no tokenizer.model beside it");
  }
  if (has_model) {
    // A language model's folder names its BOS; there it is added unless the tokenizer's settings say otherwise. A
    // .model by itself adds nothing.
    const bool language_model =
        settings.model.contains("bos_token_id") && settings.model["bos_token_id"].is_number_integer();
    return read_sentence_piece((root / "tokenizer.model").string(), settings.flag("add_bos_token", language_model),
                               settings.flag("add_eos_token", false));
  }
  for (const auto& [vocabulary, merges] :
       {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")}) {
    const bool has_vocabulary = fs::exists(root / vocabulary), has_merges = fs::exists(root / merges);
    if (has_vocabulary != has_merges) {
      throw IoError((root / (has_vocabulary ? vocabulary : merges)).string() + ": its other half '" +
                    (has_vocabulary ? merges : vocabulary) + "' is missing beside it");
    }
    if (has_vocabulary) {
      return finished(read_vocabulary_and_merges((root / vocabulary).string(), (root / merges).string()), settings,
                      /*template_decides=*/false);
    }
  }
  return nullptr;
}

}  // namespace vene::text

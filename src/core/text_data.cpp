// SPDX-License-Identifier: Apache-2.0
#include "src/core/text_data.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <cerrno>

#include "src/base/at_place.h"
#include "src/base/json_reader.h"
#include "src/io/failure.h"
#include "src/io/place.h"
#include "vene/base/error.h"

namespace vene::detail {

TextData::TextData(const models::LanguageModel& lm, std::string path, std::int64_t max_tokens)
    : lm_(lm), path_(std::move(path)), max_tokens_(max_tokens), json_(path_.ends_with(".jsonl")) {
  const io::Place there = io::look_at(path_);
  if (there == io::Place::kFolder) throw IoError(path_ + ": is a folder; expected a file of texts");
  if (there == io::Place::kOther)
    throw IoError(path_ + ": is a pipe or a device; texts are read twice, so they must lie in a file");
  file_.open(path_, std::ios::binary);
  if (!file_) io::fail_with_errno("read", path_, errno);
}

std::string TextData::where() const {
  return path_ + " line " + std::to_string(place_.line);
}

void TextData::go_to(const Place& place) {
  file_.clear();
  file_.seekg(place.offset);
  place_ = place;
}

bool TextData::next(std::vector<std::int64_t>& ids) {
  std::string line;
  while (std::getline(file_, line)) {
    ++place_.line;
    place_.offset += static_cast<std::int64_t>(line.size()) + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    ids = at_place(where(), [&] { return read(line); });
    return true;
  }
  if (file_.bad()) io::fail_with_errno("read", path_, errno);
  return false;
}

std::vector<std::int64_t> TextData::read(const std::string& line) const {
  std::vector<std::int64_t> ids;
  std::string text = line;
  if (json_) {
    const Json json = read_json<ConfigError>(line, "");
    JsonReader reader = JsonReader::root(json, "the line");
    reader.expect_object("{\"text\": \"...\"}");
    const auto given_text = reader.find("text"), given_ids = reader.find("ids");
    if (given_text.has_value() == given_ids.has_value())
      throw ConfigError(given_text ? "expected \"text\" or \"ids\", got both"
                                   : "expected an object with \"text\" or \"ids\", got neither");
    if (given_ids) ids = given_ids->integers("a list of token ids", "a token id");
    text = given_text ? given_text->text() : "";
  }
  if (ids.empty() && !text.empty()) {
    if (!lm_.tokenizer) throw ConfigError("this model has no tokenizer; give \"ids\" in a .jsonl file");
    ids = lm_.tokenizer->encode(text);
  }
  if (ids.empty()) throw ConfigError("expected a text of at least one token");
  if (max_tokens_ > 0 && static_cast<std::int64_t>(ids.size()) > max_tokens_)
    ids.resize(static_cast<std::size_t>(max_tokens_));
  const std::int64_t context = lm_.model->context_length(), count = static_cast<std::int64_t>(ids.size());
  if (context > 0 && count > context) {
    throw ModelError("the text has " + std::to_string(count) + " tokens, and the model reads " +
                     std::to_string(context) + " at most (--max-tokens cuts)");
  }
  lm_.model->check({torch::tensor(ids, torch::kInt64).unsqueeze(0).to(lm_.model->device()), {}, {}, {}});
  return ids;
}

}  // namespace vene::detail

// SPDX-License-Identifier: Apache-2.0
// One object of a tokenizer.json, read with errors that say where. Private to text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"

namespace vene::text {

class Part {
 public:
  /// `file` leads every message, `name` says which part of it this is ("model"); empty: the whole file.
  Part(const detail::Json& json, std::string file, std::string name)
      : json_(&json), file_(std::move(file)), name_(std::move(name)) {}

  const detail::Json& json() const { return *json_; }
  /// "tokenizer.json, decoder", for the errors of others.
  std::string where() const { return name_.empty() ? file_ : file_ + ", " + name_; }
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail_type(const std::string& type, const std::vector<std::string>& known) const;

  /// Its "type".
  std::string type() const;
  /// Whether the key is there and not null.
  bool has(const char* key) const;
  Part at(const char* key) const;
  /// The objects of a list.
  std::vector<Part> list(const char* key) const;
  std::string text(const char* key) const;
  std::optional<std::string> text_if(const char* key) const;
  /// A text of exactly one character.
  std::string character(const char* key) const;
  bool flag(const char* key, bool otherwise) const;
  bool flag(const char* key) const;
  std::int64_t number(const char* key) const;

 private:
  const detail::Json& member(const char* key) const;
  const detail::Json* json_;
  std::string file_, name_;
};

/// The bytes of a file; IoError for a pipe or a folder.
std::string read_regular_file(const std::string& path);
/// The JSON of a file; IoError for what is none.
detail::Json read_json_file(const std::string& path);

}  // namespace vene::text

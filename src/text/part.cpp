// SPDX-License-Identifier: Apache-2.0
#include "src/text/part.h"

#include <filesystem>

#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene::text {

using detail::Json;

std::string read_regular_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
    throw IoError(path + ": not a regular file");  // a pipe would be waited for without end
  return io::read_file(path);
}

Json read_json_file(const std::string& path) {
  return detail::read_json<IoError>(read_regular_file(path), path, detail::NonFinite::kRead);
}

void Part::fail(const std::string& what) const {
  throw IoError(file_ + ": " + (name_.empty() ? "" : name_ + ": ") + what);
}

void Part::fail_type(const std::string& type, const std::vector<std::string>& known) const {
  throw IoError(file_ + ": " + name_ + " type '" + type + "' is not supported" + name_hint(type, known));
}

const Json& Part::member(const char* key) const {
  if (!json_->is_object()) fail("expected an object, got " + detail::json_text(*json_));
  const auto found = json_->find(key);
  if (found == json_->end()) fail("'" + std::string(key) + "' is missing");
  return *found;
}

bool Part::has(const char* key) const {
  if (!json_->is_object()) fail("expected an object, got " + detail::json_text(*json_));
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

Part Part::at(const char* key) const {
  return {member(key), file_, name_.empty() ? key : name_ + "." + key};
}

std::vector<Part> Part::list(const char* key) const {
  const Json& all = member(key);
  if (!all.is_array()) fail("expected a list '" + std::string(key) + "'");
  std::vector<Part> parts;
  for (const Json& one : all) parts.emplace_back(one, file_, name_);
  return parts;
}

std::string Part::text(const char* key) const {
  const Json& value = member(key);
  if (!value.is_string()) fail("'" + std::string(key) + "': expected a text, got " + detail::json_text(value));
  return value.get<std::string>();
}

std::optional<std::string> Part::text_if(const char* key) const {
  if (!has(key)) return std::nullopt;
  return text(key);
}

std::string Part::type() const {
  return text("type");
}

std::string Part::character(const char* key) const {
  std::string value = text(key);
  if (code_points(value).size() != 1)
    fail("'" + std::string(key) + "': expected one character, got " + detail::json_text(member(key)));
  return value;
}

bool Part::flag(const char* key) const {
  const Json& value = member(key);
  if (!value.is_boolean()) fail("'" + std::string(key) + "': expected true or false, got " + detail::json_text(value));
  return value.get<bool>();
}

bool Part::flag(const char* key, bool otherwise) const {
  return has(key) ? flag(key) : otherwise;
}

std::int64_t Part::number(const char* key) const {
  const Json& value = member(key);
  if (!value.is_number_integer())
    fail("'" + std::string(key) + "': expected a whole number, got " + detail::json_text(value));
  return value.get<std::int64_t>();
}

}  // namespace vene::text

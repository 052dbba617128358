// SPDX-License-Identifier: Apache-2.0
// A value of a JSON file with the place that it stands at. Every access that finds something else than it asks for
// throws a ConfigError: the place, what was expected, what came, and the nearest of the names that would have been
// right.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "vene/base/error.h"

namespace vene::detail {

/// "path[3]"
std::string item(const std::string& path, std::size_t i);

class JsonReader {
 public:
  static constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

  /// @param json  outlives the reader and those of its members
  JsonReader(const Json& json, std::string path) : json_(&json), path_(path), prefix_(std::move(path)) {}
  /// A whole file: `name` stands in problems of its own, its members are named alone ("base", not "experiment.base").
  static JsonReader root(const Json& json, std::string name);

  const Json& json() const { return *json_; }
  const std::string& path() const { return path_; }
  [[noreturn]] void fail(const std::string& problem) const;
  /// "path: expected ..., got ..."
  [[noreturn]] void expected(const std::string& what) const;

  /// Of an object:
  void expect_object(const std::string& such_as) const;
  bool has(const std::string& key) const { return json_->is_object() && json_->contains(key); }
  std::optional<JsonReader> given(const std::string& key);  ///< a member, null too
  std::optional<JsonReader> find(const std::string& key);   ///< a member that is not null
  JsonReader at(const std::string& key);                    ///< a member that must be there
  /// Refuses members that nobody asked for.
  void refuse_others() const { refuse_others(known_); }
  void refuse_others(const std::vector<std::string>& known) const;

  /// Of a list:
  std::vector<JsonReader> each(const std::string& expected) const;
  /// Of integers alone, such as a row of tokens: no place is spelt out but that of a problem.
  std::vector<std::int64_t> integers(const std::string& list, const std::string& entry) const;

  bool is_integer() const;  ///< one that fits 64 bits with a sign
  std::int64_t integer(const std::string& expected = "an integer", std::int64_t least = kLeast,
                       std::int64_t most = kMost) const;
  double number(const std::string& expected = "a number") const;
  bool boolean() const;
  std::string text(const std::string& expected = "a text") const;
  std::string some_text(const std::string& expected = "a text") const;  ///< not empty
  /// Which of the names it is; `kind` says what they are: "unknown optimizer 'addam'; did you mean 'adam'?".
  std::size_t one_of(const std::string& kind, const std::vector<std::string>& names,
                     const std::string& further = "") const;

  /// Leave `into` as it is where there is no such member.
  void read(const std::string& key, std::int64_t& into);
  void read(const std::string& key, double& into);
  void read(const std::string& key, bool& into);
  /// A lone entry or a list.
  void read(const std::string& key, std::vector<std::int64_t>& into, const std::string& expected);
  void read(const std::string& key, std::vector<std::string>& into, const std::string& expected);

 private:
  const Json* json_;
  std::string path_, prefix_;
  std::vector<std::string> known_;
};

/// Problems of one file, so that a reader hears of all of them at once.
class Problems {
 public:
  void add(const std::string& path, const std::string& what) {
    lines_.push_back(path.empty() ? what : path + ": " + what);
  }
  /// Goes on after a ConfigError of `fn`.
  template <class F>
  void collect(F&& fn) {
    try {
      fn();
    } catch (const ConfigError& error) {
      lines_.emplace_back(error.what());
    }
  }
  /// Throws a ConfigError with a line for each, of the first hundred.
  void raise() const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace vene::detail

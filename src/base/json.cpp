// SPDX-License-Identifier: Apache-2.0
#include "src/base/json.h"

#include <cmath>
#include <limits>
#include <unordered_set>
#include <vector>

#include "src/base/json_problem.h"
#include "src/base/readable.h"

namespace vene::detail {
namespace {

// Reads without building: how deep, and whether a key is given twice. (The parser that takes a callback would look
// through all earlier entries of a list at the end of each object in it.)
template <class J>
class Watch final : public nlohmann::json_sax<J> {
 public:
  using typename nlohmann::json_sax<J>::number_integer_t;
  using typename nlohmann::json_sax<J>::number_unsigned_t;
  using typename nlohmann::json_sax<J>::number_float_t;
  using typename nlohmann::json_sax<J>::string_t;
  using typename nlohmann::json_sax<J>::binary_t;

  explicit Watch(std::string& problem) : problem_(problem) {}
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    open_.emplace_back();
    return enter();
  }
  bool key(string_t& name) override {
    if (open_.back().insert(name).second) return true;
    return stop("key '" + shortened(name) + "' is given twice in one object");
  }
  bool end_object() override {
    open_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    return stop(json_problem(error.what()));
  }

 private:
  bool stop(const std::string& problem) {
    problem_ = problem;
    return false;
  }
  bool enter() { return ++depth_ <= kDeepestJson || stop("JSON nested deeper than " + std::to_string(kDeepestJson)); }
  std::string& problem_;
  std::vector<std::unordered_set<std::string>> open_;  // keys seen in each open object
  int depth_ = 0;
};

// How the texts begin that stand for numbers that are not finite until all is parsed.
constexpr std::string_view kNonFiniteMark = "\x01vene:";

// NaN, Infinity and -Infinity outside of strings become marked strings, which the grammar has room for.
std::string with_marks(std::string_view text) {
  std::string marked;
  marked.reserve(text.size() + 64);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      marked += c;
      if (c == '\\' && i + 1 < text.size()) marked += text[++i];
      if (c == '"') in_string = false;
      continue;
    }
    std::string_view word;
    for (const std::string_view candidate : {"NaN", "Infinity", "-Infinity"}) {
      if (text.substr(i).starts_with(candidate)) word = candidate;
    }
    if (word.empty()) {
      in_string = c == '"';
      marked += c;
    } else {
      marked += "\"\\u0001vene:" + std::string(word) + '"';
      i += word.size() - 1;
    }
  }
  return marked;
}

void unmark(Json& json) {
  if (json.is_structured()) {
    for (Json& entry : json) unmark(entry);
  } else if (json.is_string() && json.get_ref<const std::string&>().starts_with(kNonFiniteMark)) {
    const std::string word = json.get_ref<const std::string&>().substr(kNonFiniteMark.size());
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (word == "NaN") json = std::numeric_limits<double>::quiet_NaN();
    if (word == "Infinity") json = kInfinity;
    if (word == "-Infinity") json = -kInfinity;
  }
}

template <class J>
J parsed(std::string_view text, std::string& problem) {
  problem.clear();
  Watch<J> watch(problem);
  if (!J::sax_parse(text, &watch)) return J(J::value_t::discarded);
  return J::parse(text);
}

}  // namespace

Json read_json(std::string_view text, std::string& problem, NonFinite non_finite) {
  const bool marked = non_finite == NonFinite::kRead &&
                      (text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos);
  if (!marked) return parsed<Json>(text, problem);
  Json json = parsed<Json>(with_marks(text), problem);
  unmark(json);
  return json;
}

OrderedJson read_ordered_json(std::string_view text, std::string& problem) {
  return parsed<OrderedJson>(text, problem);
}

std::string json_text(const Json& value, std::size_t longest) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const double number = value.get<double>();
    return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  }
  return shortened(written_json(value, -1), longest);
}

}  // namespace vene::detail

// SPDX-License-Identifier: Apache-2.0
#include "src/config/json_value.h"

#include <set>

#include "src/base/json_problem.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

using Json = nlohmann::json;

void collect_numbers(const Json& value, const std::string& path, std::size_t depth,
                     const std::vector<std::int64_t>& shape, std::vector<double>& numbers) {
  if (depth == shape.size()) {
    if (!value.is_number()) throw ConfigError(path + ": expected a number, got " + json_text(value));
    numbers.push_back(value.get<double>());
    return;
  }
  if (!value.is_array() || static_cast<std::int64_t>(value.size()) != shape[depth]) {
    throw ConfigError(path + ": expected a list of " + std::to_string(shape[depth]) + " as its neighbours are, got " +
                      json_text(value));
  }
  for (std::size_t i = 0; i < value.size(); ++i)
    collect_numbers(value[i], path + "[" + std::to_string(i) + "]", depth + 1, shape, numbers);
}

}  // namespace

Json parse_json(std::string_view text) {
  constexpr int kDeepest = 64;
  std::vector<std::set<std::string>> open;  // keys seen in each open object
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) throw ConfigError("JSON nested deeper than " + std::to_string(kDeepest));
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      throw ConfigError("key '" + parsed.get<std::string>() + "' is given twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    throw ConfigError(json_problem(error.what()));
  }
}

std::string json_text(const Json& value) {
  constexpr std::size_t kLongest = 80;
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest - 3) + "...";
  return text;
}

torch::Tensor tensor_from_json(const Json& value, const std::string& path) {
  constexpr std::size_t kMostDimensions = 6;
  std::vector<std::int64_t> shape;
  for (const Json* level = &value; level->is_array(); level = &level->front()) {
    if (level->empty()) throw ConfigError(path + ": expected numbers, got an empty list");
    shape.push_back(static_cast<std::int64_t>(level->size()));
    if (shape.size() > kMostDimensions)
      throw ConfigError(path + ": expected lists at most " + std::to_string(kMostDimensions) + " deep");
  }
  std::vector<double> numbers;
  collect_numbers(value, path, 0, shape, numbers);
  return torch::tensor(numbers, torch::kFloat64).to(torch::kFloat32).view(shape);
}

}  // namespace vene::detail

// SPDX-License-Identifier: Apache-2.0
#include "src/base/json.h"

#include <unordered_set>
#include <vector>

#include "src/base/json_problem.h"
#include "src/base/readable.h"

namespace vene::detail {
namespace {

// The deepest that brackets lie in each other, counted without building anything.
int depth_of(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Json read_json(std::string_view text, std::string& problem) {
  problem.clear();
  if (depth_of(text) > kDeepestJson) {
    problem = "JSON nested deeper than " + std::to_string(kDeepestJson);
    return Json(Json::value_t::discarded);
  }
  std::vector<std::unordered_set<std::string>> open;  // keys seen in each open object
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && problem.empty() &&
        !open.back().insert(parsed.get_ref<const std::string&>()).second) {
      problem = "key '" + shortened(parsed.get_ref<const std::string&>()) + "' is given twice in one object";
    }
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    return problem.empty() ? json : Json(Json::value_t::discarded);
  } catch (const Json::exception& error) {
    problem = json_problem(error.what());
    return Json(Json::value_t::discarded);
  }
}

std::string json_text(const Json& value, std::size_t longest) {
  return shortened(value.dump(-1, ' ', false, Json::error_handler_t::replace), longest);
}

}  // namespace vene::detail

// SPDX-License-Identifier: Apache-2.0
#include "src/config/json_value.h"

namespace vene::detail {
namespace {

// Where the walk is; spelt out for a problem only, as there are as many places as numbers.
std::string place(std::string path, const std::vector<std::size_t>& at) {
  for (const std::size_t i : at) path = item(path, i);
  return path;
}

void collect_numbers(const Json& value, const std::string& path, std::vector<std::size_t>& at,
                     const std::vector<std::int64_t>& shape, std::vector<double>& numbers) {
  if (at.size() == shape.size()) {
    if (!value.is_number()) JsonReader(value, place(path, at)).expected("a number");
    numbers.push_back(value.get<double>());
    return;
  }
  const std::int64_t count = shape[at.size()];
  if (!value.is_array() || static_cast<std::int64_t>(value.size()) != count)
    JsonReader(value, place(path, at)).expected("a list of " + std::to_string(count) + " as its neighbours are");
  at.push_back(0);
  for (std::size_t i = 0; i < value.size(); ++i) {
    at.back() = i;
    collect_numbers(value[i], path, at, shape, numbers);
  }
  at.pop_back();
}

}  // namespace

torch::Tensor tensor_from_json(const JsonReader& value) {
  constexpr std::size_t kMostDimensions = 6;
  std::vector<std::int64_t> shape;
  for (const Json* level = &value.json(); level->is_array(); level = &level->front()) {
    if (level->empty()) value.fail("expected numbers, got an empty list");
    shape.push_back(static_cast<std::int64_t>(level->size()));
    if (shape.size() > kMostDimensions)
      value.fail("expected lists at most " + std::to_string(kMostDimensions) + " deep");
  }
  std::vector<double> numbers;
  std::vector<std::size_t> at;
  collect_numbers(value.json(), value.path(), at, shape, numbers);
  return torch::tensor(numbers, torch::kFloat64).to(torch::kFloat32).view(shape);
}

torch::Tensor constant_from_json(const JsonReader& value) {
  if (value.json() == "zeros") return torch::zeros({});
  if (value.json().is_string()) value.expected("numbers or \"zeros\"");
  if (value.json().is_object()) {
    value.fail(
        "an object such as {\"embedding_of\": \" happy\", \"scale\": 0.3} stands for numbers in an experiment or a "
        "training spec, where there is a model to look it up in");
  }
  return tensor_from_json(value);
}

}  // namespace vene::detail

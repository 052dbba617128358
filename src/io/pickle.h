// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace vene::io {

/// Values that a pickle may make; a weight's takes some twenty.
inline constexpr std::size_t kMostPickleValues = 20'000'000;

/// A value as the pickle machine builds it. Texts are views of the pickle's bytes. Containers are pointers into an
/// arena, because a pickle fills them after naming them, may put one into itself, and may nest them without end.
struct PickleValue {
  struct Global {
    std::string name;  // "module.attribute"
  };
  struct List {
    enum class Kind { kList, kTuple, kSet } kind;
    std::vector<PickleValue> items;
  };
  struct Dict {
    std::vector<std::pair<PickleValue, PickleValue>> items;
  };
  std::variant<std::monostate, bool, std::int64_t, double, std::string_view, torch::Tensor, Global, List*, Dict*> value;

  template <class T>
  const T* get() const {
    return std::get_if<T>(&value);
  }
  const std::vector<PickleValue>* items() const {
    const auto* list = get<List*>();
    return list ? &(*list)->items : nullptr;
  }
};

/// The containers of a pickle.
struct PickleArena {
  std::deque<PickleValue::List> lists;
  std::deque<PickleValue::Dict> dicts;
};

/// What a pickle may call on: the machine itself runs nothing.
struct PickleHost {
  std::function<PickleValue(const PickleValue& id)> persistent;  ///< an object kept beside the pickle
  /// The result of calling a global; nullopt where it must be refused.
  std::function<std::optional<PickleValue>(const std::string& global, const std::vector<PickleValue>& arguments)> call;
  std::function<bool(const std::string& global)> allowed;  ///< globals that may be named at all
};

/// Runs a pickle of protocols 2 to 5. Errors are IoError with the path: cut data, an opcode out of place, a global that
/// is not allowed (by its name). The value lives as long as `bytes` and `arena`. More may follow the pickle: `used`
/// takes its length.
PickleValue unpickle(const std::string& path, std::string_view bytes, const PickleHost& host, PickleArena& arena,
                     std::size_t* used = nullptr);

}  // namespace vene::io

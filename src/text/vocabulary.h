// SPDX-License-Identifier: Apache-2.0
// Pieces and their ids, as spelled in the files. Private to text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/text/part.h"

namespace vene::text {

class Vocabulary {
 public:
  /// Throws IoError, with `where` in front, for an id that is none. A piece given twice has its last id.
  void add(std::string piece, std::int64_t id, const std::string& where);
  /// An object of pieces and ids.
  static Vocabulary read(const Part& part, const char* key);

  std::optional<std::int64_t> id(std::string_view piece) const;
  const std::string* piece(std::int64_t id) const;  ///< nullptr: the id has none
  std::int64_t count() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t size() const { return static_cast<std::int64_t>(pieces_.size()); }  ///< ids are below this

  template <class Each>
  void each(Each do_it) const {
    for (const auto& [piece, id] : ids_) do_it(piece, id);
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> pieces_;  // keys of ids_
};

}  // namespace vene::text

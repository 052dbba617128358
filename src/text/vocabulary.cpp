// SPDX-License-Identifier: Apache-2.0
#include "src/text/vocabulary.h"

#include "src/base/readable.h"
#include "vene/base/error.h"

namespace vene::text {

void Vocabulary::add(std::string piece, std::int64_t id, const std::string& where) {
  constexpr std::int64_t kMostIds = std::int64_t{1} << 24;
  if (id < 0 || id >= kMostIds)
    throw IoError(where + ": token '" + shortened(piece) + "' has id " + std::to_string(id) + "; expected 0 to " +
                  std::to_string(kMostIds - 1));
  if (static_cast<std::size_t>(id) >= pieces_.size()) pieces_.resize(static_cast<std::size_t>(id) + 1, nullptr);
  const auto entry = ids_.insert_or_assign(std::move(piece), id).first;
  pieces_[static_cast<std::size_t>(id)] = &entry->first;
}

Vocabulary Vocabulary::read(const Part& part, const char* key) {
  const Part all = part.at(key);
  if (!all.json().is_object()) part.fail("expected an object '" + std::string(key) + "' of pieces and ids");
  Vocabulary vocabulary;
  for (const auto& [piece, id] : all.json().items()) {
    if (!id.is_number_integer()) all.fail("the id of '" + shortened(piece) + "' is not an integer");
    const bool huge = id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX;
    vocabulary.add(piece, huge ? INT64_MAX : id.get<std::int64_t>(), all.where());
  }
  return vocabulary;
}

std::optional<std::int64_t> Vocabulary::id(std::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::piece(std::int64_t id) const {
  return id < 0 || id >= size() ? nullptr : pieces_[static_cast<std::size_t>(id)];
}

}  // namespace vene::text

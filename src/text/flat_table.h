// SPDX-License-Identifier: Apache-2.0
// A hash table of 64-bit keys, open and without removal: encoding asks it several times a byte. Private to text.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vene::text {

template <class Value>
class FlatTable {
 public:
  const Value* find(std::uint64_t key) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (!slot.used) return nullptr;
      if (slot.key == key) return &slot.value;
    }
  }
  Value& operator[](std::uint64_t key) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    std::size_t at = hash(key) & mask_;
    while (slots_[at].used && slots_[at].key != key) at = (at + 1) & mask_;
    if (!slots_[at].used) {
      slots_[at] = {key, Value{}, true};
      ++count_;
    }
    return slots_[at].value;
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Value value{};
    bool used = false;
  };
  static std::size_t hash(std::uint64_t key) {
    key *= 0x9E3779B97F4A7C15ULL;
    return static_cast<std::size_t>(key ^ key >> 29);
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    count_ = 0;
    for (const Slot& slot : old) {
      if (slot.used) (*this)[slot.key] = slot.value;
    }
  }
  std::vector<Slot> slots_;
  std::size_t mask_ = 0, count_ = 0;
};

}  // namespace vene::text

// SPDX-License-Identifier: Apache-2.0
#include "src/io/inflate.h"

#include <array>
#include <cstdint>
#include <vector>

namespace vene::io {
namespace {

constexpr int kMostBits = 15;

// A canonical Huffman code: how many codes each length has, and the symbols in the codes' order.
struct Code {
  std::array<std::uint16_t, kMostBits + 1> counts{};
  std::vector<std::uint16_t> symbols;

  // Whether no length has more codes than there is room for.
  bool build(const std::uint8_t* lengths, std::size_t count) {
    counts.fill(0);
    for (std::size_t i = 0; i < count; ++i) ++counts[lengths[i]];
    counts[0] = 0;
    int room = 1;
    std::array<std::uint16_t, kMostBits + 2> first{};
    for (int bits = 1; bits <= kMostBits; ++bits) {
      room = room * 2 - counts[bits];
      if (room < 0) return false;
      first[bits + 1] = static_cast<std::uint16_t>(first[bits] + counts[bits]);
    }
    symbols.assign(first[kMostBits + 1], 0);
    for (std::size_t i = 0; i < count; ++i) {
      if (lengths[i] > 0) symbols[first[lengths[i]]++] = static_cast<std::uint16_t>(i);
    }
    return true;
  }
};

class Inflater {
 public:
  Inflater(std::string_view data, std::size_t size) : data_(data), size_(size) { out_.reserve(size); }

  std::optional<std::string> run() {
    bool last = false;
    while (!last && ok_) {
      last = bits(1) == 1;
      switch (bits(2)) {
        case 0: stored(); break;
        case 1: fixed(); break;
        case 2: dynamic(); break;
        default: ok_ = false;
      }
    }
    if (!ok_ || out_.size() != size_) return std::nullopt;
    return std::move(out_);
  }

 private:
  std::uint32_t bits(int count) {
    while (held_ < count) {
      if (at_ == data_.size()) {
        ok_ = false;
        return 0;
      }
      buffer_ |= static_cast<std::uint32_t>(static_cast<unsigned char>(data_[at_++])) << held_;
      held_ += 8;
    }
    const std::uint32_t value = buffer_ & ((1U << count) - 1);
    buffer_ >>= count;
    held_ -= count;
    return value;
  }
  int symbol(const Code& code) {
    int value = 0;
    int first = 0;
    int index = 0;
    for (int length = 1; length <= kMostBits && ok_; ++length) {
      value |= static_cast<int>(bits(1));
      const int count = code.counts[length];
      if (value - count < first) return code.symbols[index + (value - first)];
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    ok_ = false;
    return 0;
  }
  void put(char byte) { out_.size() < size_ ? out_.push_back(byte) : void(ok_ = false); }
  void stored() {
    buffer_ = 0;
    held_ = 0;
    if (at_ + 4 > data_.size()) return void(ok_ = false);
    auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(data_[at_ + i])); };
    const unsigned length = byte(0) | byte(1) << 8;
    if (length != (~(byte(2) | byte(3) << 8) & 0xffffU)) return void(ok_ = false);
    at_ += 4;
    if (at_ + length > data_.size() || out_.size() + length > size_) return void(ok_ = false);
    out_.append(data_.substr(at_, length));
    at_ += length;
  }
  void fixed() {
    std::array<std::uint8_t, 288> lengths{};
    for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    const std::array<std::uint8_t, 30> distances = [] {
      std::array<std::uint8_t, 30> all{};
      all.fill(5);
      return all;
    }();
    Code literal, distance;
    literal.build(lengths.data(), lengths.size());
    distance.build(distances.data(), distances.size());
    codes(literal, distance);
  }
  void dynamic() {
    constexpr std::array<std::uint8_t, 19> kOrder{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    const std::uint32_t literals = bits(5) + 257;
    const std::uint32_t distances = bits(5) + 1;
    const std::uint32_t given = bits(4) + 4;
    if (!ok_ || literals > 286 || distances > 30) return void(ok_ = false);
    std::array<std::uint8_t, 320> lengths{};
    for (std::uint32_t i = 0; i < given; ++i) lengths[kOrder[i]] = static_cast<std::uint8_t>(bits(3));
    Code code;
    if (!ok_ || !code.build(lengths.data(), kOrder.size())) return void(ok_ = false);
    lengths.fill(0);
    for (std::uint32_t i = 0; i < literals + distances && ok_;) {
      const int length = symbol(code);
      if (length < 16) {
        lengths[i++] = static_cast<std::uint8_t>(length);
        continue;
      }
      if (length == 16 && i == 0) return void(ok_ = false);
      const std::uint8_t repeated = length == 16 ? lengths[i - 1] : 0;
      std::uint32_t times = length == 16 ? 3 + bits(2) : length == 17 ? 3 + bits(3) : 11 + bits(7);
      if (i + times > literals + distances) return void(ok_ = false);
      while (times-- > 0) lengths[i++] = repeated;
    }
    Code literal, distance;
    if (!ok_ || !literal.build(lengths.data(), literals) || !distance.build(lengths.data() + literals, distances)) return void(ok_ = false);
    codes(literal, distance);
  }
  void codes(const Code& literal, const Code& distance) {
    constexpr std::array<std::uint16_t, 29> kLengths{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    constexpr std::array<std::uint8_t, 29> kLengthBits{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    constexpr std::array<std::uint16_t, 30> kDistances{1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                                       193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    constexpr std::array<std::uint8_t, 30> kDistanceBits{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
    while (ok_) {
      const int value = symbol(literal);
      if (value == 256 || !ok_) return;
      if (value < 256) {
        put(static_cast<char>(value));
        continue;
      }
      if (value - 257 >= static_cast<int>(kLengths.size())) return void(ok_ = false);
      const std::uint32_t length = kLengths[value - 257] + bits(kLengthBits[value - 257]);
      const int far = symbol(distance);
      if (!ok_ || far >= static_cast<int>(kDistances.size())) return void(ok_ = false);
      const std::uint32_t back = kDistances[far] + bits(kDistanceBits[far]);
      if (back > out_.size()) return void(ok_ = false);
      for (std::uint32_t i = 0; i < length && ok_; ++i) put(out_[out_.size() - back]);
    }
  }

  std::string_view data_;
  std::size_t size_;
  std::string out_;
  std::size_t at_ = 0;
  std::uint32_t buffer_ = 0;
  int held_ = 0;
  bool ok_ = true;
};

}  // namespace

std::optional<std::string> inflate(std::string_view data, std::size_t size) { return Inflater(data, size).run(); }

}  // namespace vene::io

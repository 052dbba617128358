// SPDX-License-Identifier: Apache-2.0
#include "src/text/byte_spelling.h"

#include <array>

#include "src/text/unicode.h"

namespace vene::text {
namespace {

struct Spelling {
  std::array<std::string, 256> spelled;
  std::array<int, 512> byte{};  // by code point; -1: none

  Spelling() {
    byte.fill(-1);
    std::uint32_t next = 256;
    for (std::uint32_t one = 0; one < 256; ++one) {
      const bool visible = (one >= 0x21 && one <= 0x7E) || (one >= 0xA1 && one <= 0xAC) || one >= 0xAE;
      const std::uint32_t code = visible ? one : next++;
      spelled[one] = utf8(code);
      byte[code] = static_cast<int>(one);
    }
  }
};

const Spelling& spelling() {
  static const Spelling kSpelling;
  return kSpelling;
}

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelled) {
  const Spelling& table = spelling();
  std::string bytes;
  for (std::size_t at = 0; at < spelled.size();) {
    const std::uint32_t code = next_code(spelled, at);
    if (code >= table.byte.size() || table.byte[code] < 0) return std::nullopt;
    bytes += static_cast<char>(table.byte[code]);
  }
  return bytes;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string spelled;
  for (unsigned char byte : bytes) spelled += spelling().spelled[byte];
  return spelled;
}

void spell_bytes(Cut& cut) {
  const Spelling& table = spelling();
  Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
    for (std::size_t at = piece.first; at < piece.last; ++at)
      to.put(table.spelled[static_cast<unsigned char>(cut.bytes[at])], to.place(at, at + 1));
  });
}

}  // namespace vene::text

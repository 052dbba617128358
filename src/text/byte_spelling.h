// SPDX-License-Identifier: Apache-2.0
// GPT-2's spelling of bytes as visible characters ("Ġ" is a space). Private to text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "src/text/cut.h"

namespace vene::text {

/// The bytes that are spelled; nullopt where a character is not of the spelling.
std::optional<std::string> bytes_of_spelling(std::string_view spelled);
std::string spelling_of_bytes(std::string_view bytes);
/// Spells every piece that is no token.
void spell_bytes(Cut& cut);

}  // namespace vene::text

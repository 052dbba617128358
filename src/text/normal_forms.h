// SPDX-License-Identifier: Apache-2.0
// Unicode's normal forms, character by character, with what became of each. Private to text.
#pragma once
#include <string_view>
#include <vector>

#include "src/text/cut.h"

namespace vene::text {

struct NormalForm {
  bool compatible = false, composed = false;  ///< NFKC and NFKD, NFC and NFKC
};

/// Whether a text is in the form already, as far as its characters by themselves tell.
bool is_surely_normal(std::string_view text, NormalForm form);
/// The characters of a text in that form, in the order of the text.
std::vector<Change> normal_form(std::string_view text, NormalForm form);

}  // namespace vene::text

// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace vene::cli {

/// Prints a text, with what was printed before, to its end. False where standard output cannot be written, as behind a
/// redirect to a full disk; a reader that has seen enough (`vene sites DIR | head`) is no failure.
bool say(const std::string& text);

/// One sentence about an exception that is not ours, for a user: LibTorch's messages go over pages, and the standard
/// library's speak of its own functions.
std::string sentence_of(const std::exception& error);

}  // namespace vene::cli

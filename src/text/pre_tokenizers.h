// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/text/cut.h"
#include "src/text/part.h"

namespace vene::text {

/// GPT-2's way to cut a text into words.
inline constexpr const char* kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// Qwen2's.
inline constexpr const char* kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// What a tokenizer.json calls a pre-tokenizer; IoError naming what is not understood.
/// @param prefix_space  what the settings around say of the space in front of the text, for those that have one
std::unique_ptr<Step> read_pre_tokenizer(const Part& part, std::optional<bool> prefix_space, int depth = 0);

/// Whether the pre-tokenizer, or a member of its sequence, is of a type.
bool has_type(const Part& part, const char* list, const std::string& type, int depth = 0);

/// Those that are written without a file.
std::unique_ptr<Step> byte_level(bool prefix_space, bool words);
std::unique_ptr<Step> split_isolated(const std::string& expression);
std::unique_ptr<Step> bert_words();
std::unique_ptr<Step> space_words();  ///< "WhitespaceSplit"
std::unique_ptr<Step> in_order(std::vector<std::unique_ptr<Step>> steps);

}  // namespace vene::text

// SPDX-License-Identifier: Apache-2.0
// The options of a generation, each described once.
#pragma once
#include "src/base/described.h"
#include "vene/core/generate.h"

namespace vene {

/// @param Options  GenerateOptions, const or not
template <class Options, class Visitor>
requires std::same_as<std::remove_const_t<Options>, GenerateOptions>
void visit(Options& o, Visitor&& v) {
  using detail::above, detail::at_least, detail::count;
  detail::Range share = above(0, "more than 0, at most 1");
  share.most = 1;
  detail::Range tokens, texts;
  tokens.words = "token ids";
  texts.words = "texts";
  v({"max_new_tokens", "New tokens a row, at most.", count(1)}, o.max_new_tokens);
  v({"temperature", "Of the draws; at 0 the most probable token is taken each time.",
     at_least(0, "0 (greedy) or more")},
    o.temperature);
  v({"top_k", "Draw from the k most probable tokens.", count(0, "0 (all) or more")}, o.top_k);
  v({"top_p", "Then draw from the fewest tokens whose probabilities reach this.", share}, o.top_p);
  v({"repetition_penalty", "Makes tokens that the row has less likely; 1: off.", above(0)}, o.repetition_penalty);
  v({"seed", "Row r draws from a generator seeded with `seed` + r.", at_least(0)}, o.seed);
  v({"ignore_eos", "Go on after the tokens that the checkpoint ends a text with.", {}}, o.ignore_eos);
  v({"use_cache", "False computes every position anew in every step; the result is the same.", {}}, o.use_cache);
  v({"stop_tokens", "Ids that end a row besides the end of text.", tokens}, o.stop_tokens);
  v({"stop_texts", "Texts that end a row, and are left out of its text; a special token may be one.", texts},
    o.stop_texts);
}

}  // namespace vene

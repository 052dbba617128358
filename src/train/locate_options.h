// SPDX-License-Identifier: Apache-2.0
// The options of locating a property, each described once.
#pragma once
#include "src/base/described.h"
#include "vene/train/locate.h"

namespace vene {

/// @param Options  LocateOptions, const or not
template <class Options, class Visitor>
requires std::same_as<std::remove_const_t<Options>, LocateOptions>
void visit(Options& o, Visitor&& v) {
  using detail::above, detail::at_least, detail::count;
  detail::Range share = above(0, "a share between 0 and 1");
  share.most = 1;
  share.most_itself = false;
  v({"component", "What is exchanged and probed.", {}}, o.component);
  v({"head", "Of a component that is cut into heads, which is looked into.", {}}, o.head);
  v({"layers", "Which layers; empty: all.", {}}, o.layers);
  v({"columns", "Which columns of the grid; empty: all.", {}}, o.columns);
  v({"steps", "Training steps of each direction.", count(1)}, o.steps);
  v({"rate", "Learning rate at the start; it falls to 0.", above(0)}, o.rate);
  v({"batch", "Pairs of names a step.", count(1)}, o.batch);
  v({"pairs", "Pairs to train on, and pairs to test on, at most.", count(1)}, o.pairs);
  v({"test_share", "Of each class's names; at least one name on either side.", share}, o.test_share);
  v({"keep_mistaken", "Also use names after which the model puts another class's answer.", {}}, o.keep_mistaken);
  v({"seed", "Of the split of the names, of pairs, and of starting directions.", at_least(0)}, o.seed);
}

}  // namespace vene

// SPDX-License-Identifier: Apache-2.0
// The options of causal tracing, each described once.
#pragma once
#include "src/base/described.h"
#include "vene/sweep/causal_trace.h"

namespace vene {

/// @param Options  CausalTraceOptions, const or not
template <class Options, class Visitor>
requires std::same_as<std::remove_const_t<Options>, CausalTraceOptions>
void visit(Options& o, Visitor&& v) {
  using detail::above, detail::at_least, detail::count;
  v({"target", "The answer, whose first token counts; none: the clean run's most probable token.", {}}, o.target);
  v({"subject", "The part of the prompt whose embeddings are noised.", {}}, o.subject);
  v({"noise", "Standard deviation of the noise; none: three times that of the token embeddings.",
     above(0, "a positive number")},
    o.noise);
  v({"seed", "Of numpy's RandomState, which draws the noise.", at_least(0)}, o.seed);
  v({"samples", "Draws of the noise that results are averaged over.", count(1)}, o.samples);
  v({"streams", "What is restored, a map each.", {}}, o.streams);
  v({"window", "Layers restored together, for streams other than block_output; 0: a fifth of them.", count(0)},
    o.window);
  v({"rows_per_batch", "Rows that run together; 0: chosen by memory.", count(0)}, o.rows_per_batch);
}

}  // namespace vene

// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/core/grid_models.h"
#include "vene/base/error.h"

namespace vene {
namespace {

using testing::HasSubstr;
using namespace vene_test;

struct BadExperiment {
  const char* config;
  const char* members;  // beyond config; "$" stands for base and source of two rows, "@" for the base alone
  const char* message;
};

TEST(BadExperiments, AreAnsweredWithOneSentenceEach) {
  const char* vanilla = R"([{"layer": 1, "component": "block_output"}])";
  const char* zero = R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])";
  const char* two = R"([{"layer": 0}, {"layer": 1}])";
  const char* serial = R"({"mode": "serial", "representations": [{"layer": 0}, {"layer": 1}]})";
  const char* heads = R"([{"component": "head_key_output", "unit": "h.pos", "intervention_type": "zero"}])";
  const std::vector<BadExperiment> table{
      // Numbers of sources and of constants.
      {two, R"(@, "sources": [null, null, null])",
       "sources: 3 given, expected 2 (one a group of representations; null for a group without) or a single one for "
       "all"},
      {vanilla, R"(@, "unit_locations": {"base": 1})",
       "representations[0] (layer_1_comp_block_output_unit_pos_nunit_1#0): this intervention needs a source, and none "
       "is given"},
      {vanilla, R"(@, "sources": [null])", "every intervention is left out, because every source is null"},
      {zero, R"($)", "sources: a source is given, but no intervention takes one"},
      {R"([{"layer": 0, "intervention_type": "zero"}, {"layer": 1}])",
       R"(@, "sources": [{"input_ids": [[1]]}, {"input_ids": [[1]]}])",
       "sources[0]: a source is given, but no intervention of this group takes one; give null"},
      {vanilla, R"(@, "source_representations": {"1": [1]})", "no representation 1; there are 1"},
      {R"([{"layer": 0, "intervention_type": "zero"}, {"layer": 1}])",
       R"(@, "source_representations": {"0": [1], "1": [1]})", "this intervention takes no source"},
      {R"([{"layer": 0, "intervention_type": "addition", "source_representation": [1]}])",
       R"(@, "source_representations": [1])", "has a constant source of its own, and another is given"},
      {vanilla, R"($, "source_representations": [1, 2, 3])", "a source is given, but no intervention takes one"},
      {vanilla, R"(@, "unit_locations": {"base": 1}, "source_representations": [1, 2, 3])",
       "source of shape [3] does not fit a base of shape [2, 1, 16]"},
      {vanilla, R"($, "unit_locations": {"sources->base": [[0, 1], [0, 1, 2]]})",
       "row 0: 2 source units for 3 base units; expected as many, or one for all"},
      {vanilla, R"(@, "sources": [{"input_ids": [[1, 2], [1, 2], [1, 2]]}])",
       "its source has 3 rows, what it writes into has 2 (a source of one row serves all)"},
      {serial, R"(@, "sources": [{"input_ids": [[1, 2]]}, null])",
       "in serial mode it acts on the run of source 1, which is null"},
      // Hops.
      {zero, R"(@, "unit_locations": {"source_0->base": 1})",
       "unit_locations: no hop 'source_0->base' in parallel mode; did you mean 'sources->base'"},
      {zero, R"(@, "unit_locations": {"bse": 1})", "unit_locations: unknown key 'bse'; did you mean 'base'"},
      {serial,
       R"(@, "sources": [{"input_ids": [[1, 2]]}, {"input_ids": [[1, 2]]}], "unit_locations": {"sources->base": 1})",
       "no hop 'sources->base' in serial mode"},
      {serial,
       R"(@, "sources": [{"input_ids": [[1, 2]]}, {"input_ids": [[1, 2]]}], "unit_locations": {"source_0->source_1": 1})",
       "serial mode needs an entry for every hop, 'source_1->base' is missing"},
      {vanilla, R"($, "unit_locations": {"sources->base": [0, 1, 2]})",
       "expected one position for both sides, or [SRC, BASE]"},
      {vanilla, R"($, "unit_locations": {"base": 1, "sources->base": 1})", "two ways to say one thing"},
      // Depth, rows, range.
      {zero, R"(@, "unit_locations": {"base": [[[1], [1]], [[1], [1]]]})",
       "unit_locations[\"sources->base\"], base: locations for 2 interventions, expected 1"},
      {two, R"($, "unit_locations": {"base": [[[1], [1]]]})", "locations for 1 interventions, expected 2"},
      {zero, R"(@, "unit_locations": {"base": [[1], [1], [1]]})",
       "locations for 3 rows, but the batch has 2 (give one list for every row, or 2)"},
      {zero, R"(@, "unit_locations": {"base": [[[[1]], [[2]]]]})",
       "unit 'pos' takes one list of units, not heads and positions"},
      {heads, R"(@, "unit_locations": {"base": 1})", "unit 'h.pos' takes heads and positions"},
      {heads, R"(@, "unit_locations": {"base": {"h": 1}})", "both \"h\" and \"pos\""},
      {heads, R"(@, "unit_locations": {"base": {"h": 4, "pos": 1}})",
       "head 4 is out of range: the row has 4, 0 to 3 or -1 to -4"},
      {heads, R"(@, "unit_locations": {"base": {"h": 1, "pos": 5}})", "position 5 is out of range: the row has 5"},
      {zero, R"(@, "unit_locations": {"base": 5})",
       "row 0: position 5 is out of range: the row has 5, 0 to 4 or -1 to -5"},
      {zero, R"(@, "unit_locations": {"base": -6})", "position -6 is out of range"},
      {zero, R"(@, "unit_locations": {"base": [[1], [7]]})", "row 1: position 7 is out of range"},
      {vanilla, R"($, "unit_locations": {"sources->base": [9, 1]})", ", source, row 0: position 9 is out of range"},
      {zero, R"( "base": {"input_ids": [[1, 2]], "attention_mask": [[0.5, 1]]})",
       "base.attention_mask: expected only 0 and 1"},
      {zero, R"(@, "unit_locations": {"base": 1.5})", "unit_locations.base"},
      {zero, R"(@, "unit_locations": {"base": "lst"})", "unknown position 'lst'; did you mean 'last'"},
      {zero, R"(@, "unit_locations": {"base": []})", "the locations select no unit in any row"},
      {zero, R"(@, "unit_locations": {"base": [1, 1]})", "a row lists the same unit twice"},
      {zero, R"(@, "unit_locations": {"base": {"token": " x"}})",
       "takes a tokenizer and token ids and is not there in a decoding step"},
      // Names.
      {R"([{"component": "blok_output"}])", R"($)",
       "representations[0]: this model has no component 'blok_output'; did you mean 'block_output'"},
      {R"([{"layer": 2, "component": "block_output"}])", R"($)",
       "layer 2 of component 'block_output' does not exist: layers are 0 to 1"},
      {R"([{"component": "transformer.h.9.output"}])", R"($)",
       "no site at path 'transformer.h.9.output'; did you mean 'transformer.h."},
      {R"([{"unit": "psition"}])", R"($)", "unit: unknown unit 'psition'"},
      {R"([{"unit": "h"}])", R"($, "unit_locations": {"base": 1})", "unit 'h' needs a value with heads"},
      {R"([{"intervention_type": "vanila"}])", R"($)",
       "representations[0].intervention_type: unknown intervention type 'vanila'; did you mean 'vanilla'"},
      {R"({"mode": "sequential", "representations": [{}]})", R"($)", "mode: unknown mode 'sequential'"},
      {R"([{"layer": 1, "component": "query_output", "intervention_type": "skip"}])", R"($)",
       "skip takes the input of the site's module, and this site has none"},
      // Subspaces.
      {zero, R"(@, "subspaces": [16])", "subspace column 16 is out of range: there are 16"},
      {R"([{"intervention_type": "zero", "subspace_partition": [[0, 4], [4, 16]]}])", R"(@, "subspaces": 2)",
       "subspace part 2 is out of range: there are 2"},
      {zero, R"(@, "subspaces": [[[0], [1], [2]]])", "subspaces for 3 rows, but the batch has 2"},
      {two, R"($, "subspaces": [[0], [1], [2]])", "subspaces: 3 entries, expected 1 or one a representation (2)"},
  };
  for (const BadExperiment& bad : table) {
    std::string members = bad.members;
    members = (members[0] == '$' ? kInputMembers : members[0] == '@' ? kBaseMember : "") + members.substr(1);
    try {
      run_members(R"("config": )" + std::string(bad.config) + ", " + members);
      ADD_FAILURE() << "accepted: " << bad.config << ", " << members;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_THAT(message, HasSubstr(bad.message));
      EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one sentence: " << message;
    }
  }
}

}  // namespace
}  // namespace vene

// SPDX-License-Identifier: Apache-2.0
// What pyvene gets wrong, on the grid's tiny models.
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "tests/unit/core/grid_models.h"
#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"

namespace vene {
namespace {

using models::Batch;
using torch::Tensor;
using namespace vene_test;

Batch rows_of(const std::vector<std::vector<std::int64_t>>& rows) {
  Batch batch;
  std::vector<Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(torch::tensor(row, torch::kInt64));
  batch.input_ids = torch::stack(tensors);
  return batch;
}

// Rows padded to one length, at the left or at the right.
Batch padded(const std::vector<std::vector<std::int64_t>>& rows, bool left) {
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  std::vector<std::vector<std::int64_t>> ids, mask;
  for (const auto& row : rows) {
    const std::vector<std::int64_t> zeros(longest - row.size(), 0), ones(row.size(), 1);
    std::vector<std::int64_t> id = left ? zeros : row, real = left ? zeros : ones;
    const auto& tail = left ? row : zeros;
    id.insert(id.end(), tail.begin(), tail.end());
    real.insert(real.end(), (left ? ones : zeros).begin(), (left ? ones : zeros).end());
    ids.push_back(id);
    mask.push_back(real);
  }
  Batch batch = rows_of(ids);
  batch.attention_mask = rows_of(mask).input_ids;
  return batch;
}

void expect_close(const Tensor& a, const Tensor& b, const std::string& what = "") {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE((a - b).abs().max().item<double>(), 1e-5) << what;
}

const std::vector<std::vector<std::int64_t>> kBase{{3, 1, 4, 1, 5}, {9, 2, 6}}, kSource{{2, 7, 1, 8, 2}, {8, 1, 8}};

TEST(WherePyveneIsWrong, TwoIntsUnderBaseAreTwoPositions) {
  const std::string config = R"("config": [{"layer": 0, "component": "block_output"}], )" + kInputMembers;
  const Tensor two = run_members(config + R"(, "unit_locations": {"base": [1, 2]})").intervened.logits;
  expect_close(two, run_members(config + R"(, "unit_locations": {"base": [[[1, 2], [1, 2]]]})").intervened.logits);
  const Tensor pair = run_members(config + R"(, "unit_locations": {"sources->base": [1, 2]})").intervened.logits;
  EXPECT_GT((two - pair).abs().max().item<double>(), 1e-2) << "source 1 into base 2 is something else";
}

TEST(WherePyveneIsWrong, OtherPeoplesScopeIsUntouchedByARunAndByOneThatFails) {
  const models::LanguageModel& lm = grid_model("gpt2");
  const Site& site = lm.model->sites().find("block_output", 1);
  HookTable table;
  int fired = 0;
  table.on(site.id, site.phase, [&](const HookContext& context) {
    ++fired;
    context.value() = context.value() * 0;
  });
  const std::string members =
      R"("config": [{"layer": 1, "component": "block_output", "intervention_type": "addition"}], "base": {"input_ids": [[3,1,4]]}, "unit_locations": {"base": 1}, )";
  const Tensor alone =
      run_members(members + R"("source_representations": [1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8])").intervened.logits;
  HookScope scope(table);
  const Tensor mine = lm.model->forward(rows_of({{3, 1, 4}})).logits;
  expect_close(
      run_members(members + R"("source_representations": [1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8])").intervened.logits, alone,
      "an outer scope does not reach into a run");
  EXPECT_THROW(run_members(members + R"("source_representations": [1,2,3])"), PlanError)
      << "fails in the middle of the forward";
  EXPECT_EQ(HookScope::current(), &scope);
  expect_close(lm.model->forward(rows_of({{3, 1, 4}})).logits, mine, "the scope's own edit is still made");
  EXPECT_EQ(fired, 2);
}

TEST(WherePyveneIsWrong, AResultDoesNotDependOnEarlierCalls) {
  const models::LanguageModel& lm = grid_model("llama");
  IntervenableModel intervenable(
      IntervenableConfig::parse(R"([{"layer": 0, "component": "block_output", "intervention_type": "addition"},
                                                              {"layer": 1, "component": "mlp_output", "subspace_partition": [[0, 4], [4, 16]]}])"),
      lm.model);
  const Batch base = rows_of({{3, 1, 4, 1, 5}, {9, 2, 6, 5, 3}}), source = rows_of({{2, 7, 1, 8, 2}, {8, 1, 8, 2, 8}});
  std::vector<RunRequest> requests;
  for (const char* locations : {R"({"base": 2})", R"({"base": [[1], [3]]})", R"({"base": [[0, 4], [2]]})",
                                R"({"sources->base": [0, 4]})", "null"}) {
    requests.push_back({.base = base, .sources = {source}, .locations = Locations::parse(locations)});
    requests.push_back({.base = base, .sources = {std::nullopt, source}, .locations = Locations::parse(locations)});
    requests.push_back({.base = base,
                        .sources = {source},
                        .locations = Locations::parse(locations),
                        .subspaces = {std::nullopt, SubspaceIds{{{0}, {1}}}}});
  }
  std::vector<Tensor> fresh;
  for (const RunRequest& request : requests) {
    IntervenableModel unused(IntervenableConfig::parse(intervenable->config().to_json()), lm.model);
    fresh.push_back(unused->forward(request).intervened.logits);
  }
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_TRUE(torch::equal(intervenable->forward(requests[i]).intervened.logits, fresh[i])) << i;
  for (std::size_t i = requests.size(); i-- > 0;)
    EXPECT_TRUE(torch::equal(intervenable->forward(requests[i]).intervened.logits, fresh[i])) << i << ", backwards";
}

// Locations for both rows, and the same for row 0 and row 1 alone.
struct PaddedForm {
  const char* both;
  const char* alone[2];
};

TEST(WherePyveneIsWrong, APaddedRowEqualsTheRowAloneForEveryLocationForm) {
  const std::vector<PaddedForm> forms{
      {R"({"base": 1})", {R"({"base": 1})", R"({"base": 1})"}},
      {R"({"base": -1})", {R"({"base": 4})", R"({"base": 2})"}},
      {R"({"base": [0, 2]})", {R"({"base": [0, 2]})", R"({"base": [0, 2]})"}},
      {R"({"base": "last"})", {R"({"base": 4})", R"({"base": 2})"}},
      {R"({"base": {"last": 2}})", {R"({"base": [3, 4]})", R"({"base": [1, 2]})"}},
      {R"({"base": {"span": [1, 3]}})", {R"({"base": [1, 2]})", R"({"base": [1, 2]})"}},
      {R"({"base": [[0, 3], [2]]})", {R"({"base": [0, 3]})", R"({"base": 2})"}},
      {R"({"base": [[], [1]]})", {nullptr, R"({"base": 1})"}},
      {R"({"base": [[[1, 2], [0, 1]]]})", {R"({"base": [1, 2]})", R"({"base": [0, 1]})"}},
      {R"({"sources->base": [-1, 0]})", {R"({"sources->base": [4, 0]})", R"({"sources->base": [2, 0]})"}},
      {R"({"sources->base": [[[0, 1], [2, 0]], [[4, 3], [1, 2]]]})",
       {R"({"sources->base": [[0, 1], [4, 3]]})", R"({"sources->base": [[2, 0], [1, 2]]})"}},
  };
  for (const std::string model : {"gpt2", "llama"}) {
    for (const char* kind : {"vanilla", "addition", "subtraction", "zero", "skip", "collect", "noise"}) {
      IntervenableModel intervenable(
          IntervenableConfig::parse(
              std::string(R"([{"layer": 0, "component": "block_output", "intervention_type": ")") + kind + "\"}]"),
          grid_model(model).model);
      const bool sourced = intervenable->interventions()[0]->traits().needs_source;
      for (const PaddedForm& form : forms) {
        // Noise is drawn for as many units as the widest row has.
        if (!sourced && std::string_view(form.both).find("sources->") != std::string_view::npos) continue;
        for (const bool left : {true, false}) {
          RunRequest request{.base = padded(kBase, left), .locations = Locations::parse(form.both)};
          if (sourced) request.sources = {padded(kSource, left)};
          const Result together = intervenable->forward(request);
          for (std::size_t row = 0; row < 2; ++row) {
            if (form.alone[row] == nullptr) continue;
            const std::string what =
                model + " " + kind + " " + form.both + (left ? " left, row " : " right, row ") + std::to_string(row);
            RunRequest single{.base = rows_of({kBase[row]}), .locations = Locations::parse(form.alone[row])};
            if (sourced) single.sources = {rows_of({kSource[row]})};
            const Result alone = intervenable->forward(single);
            const auto length = static_cast<std::int64_t>(kBase[row].size()),
                       begin = left ? 5 - length : std::int64_t{0}, index = static_cast<std::int64_t>(row);
            expect_close(together.intervened.logits[index].narrow(0, begin, length), alone.intervened.logits[0], what);
            if (!together.collected.empty()) {
              const Tensor& mine = alone.collected[0].value;
              expect_close(together.collected[0].value[index].narrow(0, 0, mine.size(1)), mine[0],
                           what + ", collected");
            }
          }
        }
      }
    }
  }
}

TEST(WherePyveneIsWrong, ArgumentsAreUnmutated) {
  torch::manual_seed(3);
  const Tensor embeds = torch::randn({2, 5, 8});
  Batch base, source;
  base.inputs_embeds = embeds.clone();
  source.inputs_embeds = (embeds * 2).clone();
  const Tensor constant = torch::randn({8}), constant_before = constant.clone();
  RunRequest request{
      .base = base, .sources = {source}, .locations = at({1, 3}), .source_representations = {}, .original = true};
  // The input of block 0 is the caller's own tensor.
  IntervenableModel swapping(
      IntervenableConfig::parse(
          R"([{"layer": 0, "component": "block_input"}, {"layer": 1, "component": "block_input"}])"),
      grid_model("mlp").model);
  const Result result = swapping->forward(request);
  EXPECT_TRUE(torch::equal(request.base.inputs_embeds, embeds));
  EXPECT_TRUE(torch::equal(request.sources[0]->inputs_embeds, embeds * 2));
  EXPECT_EQ(request.sources.size(), 1U) << "one source for two groups stays one";
  EXPECT_TRUE(torch::equal(result.original->logits, grid_model("mlp").model->forward(base).logits));
  IntervenableModel adding(
      IntervenableConfig::parse(R"([{"layer": 0, "component": "block_input", "intervention_type": "addition"}])"),
      grid_model("mlp").model);
  RunRequest with_constant{.base = base, .locations = at(1), .source_representations = {constant}};
  adding->forward(with_constant);
  ASSERT_EQ(with_constant.source_representations.size(), 1U);
  EXPECT_TRUE(torch::equal(constant, constant_before));
  EXPECT_TRUE(torch::equal(base.inputs_embeds, embeds));
  // Token ids and masks.
  Batch ids = padded(kBase, true), other = padded(kSource, true);
  const Batch ids_before{ids.input_ids.clone(), ids.attention_mask.clone(), {}, {}},
      other_before{other.input_ids.clone(), other.attention_mask.clone(), {}, {}};
  IntervenableModel(IntervenableConfig::parse(R"([{"layer": 0, "component": "block_input"}])"),
                    grid_model("gpt2").model)
      ->forward({.base = ids, .sources = {other}, .locations = last()});
  EXPECT_TRUE(torch::equal(ids.input_ids, ids_before.input_ids) &&
              torch::equal(ids.attention_mask, ids_before.attention_mask));
  EXPECT_TRUE(torch::equal(other.input_ids, other_before.input_ids) &&
              torch::equal(other.attention_mask, other_before.attention_mask));
}

TEST(WherePyveneIsWrong, LinksShareAnInterventionWithoutReusingWhatItWrote) {
  const std::string nothing = R"([0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0])";
  const Result linked = run_members(
      R"("config": [{"layer": 0, "intervention_type": "addition", "intervention_link_key": "v", "source_representation": )" +
      nothing +
      R"(}, {"layer": 1, "intervention_type": "addition", "intervention_link_key": "v"}], "base": {"input_ids": [[3,1,4,1,5]]}, "unit_locations": {"base": 1})");
  expect_close(linked.intervened.logits, linked.original->logits, "adding nothing at two layers changes nothing");
}

TEST(WherePyveneIsWrong, WithoutLocationsAComponentIsItsOwnColumns) {
  for (const std::string model : {"gpt2", "llama"}) {
    for (const std::string name : {"query_output", "key_output", "value_output", "attention_value_output"}) {
      const std::string plain = R"("config": [{"layer": 1, "component": ")" + name + R"("}], )" + kInputMembers;
      const std::string heads =
          R"("config": [{"layer": 1, "unit": "h", "component": "head_)" + name + R"("}], )" + kInputMembers;
      const Tensor listed =
          run_members(plain + R"(, "unit_locations": {"base": [0, 1, 2, 3, 4]})", model).intervened.logits;
      const Result whole = run_members(plain, model);
      EXPECT_GT((whole.intervened.logits - whole.original->logits).abs().max().item<double>(), 1e-2)
          << model << " " << name;
      expect_close(whole.intervened.logits, listed, model + " " + name);
      expect_close(run_members(heads, model).intervened.logits, listed, model + " head_" + name);
      expect_close(run_members(heads + R"(, "unit_locations": {"base": "all"})", model).intervened.logits, listed,
                   model + " all heads of " + name);
    }
  }
}

TEST(WherePyveneIsWrong, SubspacesOfARowAreForThatRowAtAnyNumberOfUnits) {
  const std::vector<std::vector<std::int64_t>> base{{3, 1, 4, 1, 5}, {9, 2, 6, 5, 3}},
      source{{2, 7, 1, 8, 2}, {8, 1, 8, 2, 8}};
  const std::vector<std::vector<std::int64_t>> columns{{0, 1}, {3, 2}}, uneven{{0, 1, 3}, {2}};
  struct Place {
    const char *component, *unit, *locations;
  };
  for (const Place& place :
       {Place{"block_output", "pos", R"({"base": 1})"}, Place{"block_output", "pos", R"({"base": [1, 3]})"},
        Place{"block_output", "pos", "null"}, Place{"head_value_output", "h", R"({"base": 1})"},
        Place{"head_value_output", "h.pos", R"({"base": {"h": [0, 1], "pos": [1, 2]}})"}}) {
    for (const char* kind : {"vanilla", "addition", "zero", "noise"}) {
      for (const auto& ids : {columns, uneven}) {
        IntervenableModel intervenable(
            IntervenableConfig::parse(std::string(R"([{"layer": 0, "component": ")") + place.component +
                                      R"(", "unit": ")" + place.unit + R"(", "intervention_type": ")" + kind + "\"}]"),
            grid_model("llama").model);
        const bool sourced = intervenable->interventions()[0]->traits().needs_source;
        RunRequest request{
            .base = rows_of(base), .locations = Locations::parse(place.locations), .subspaces = {SubspaceIds{ids}}};
        if (sourced) request.sources = {rows_of(source)};
        const Tensor together = intervenable->forward(request).intervened.logits;
        for (std::size_t row = 0; row < 2; ++row) {
          RunRequest single{
              .base = rows_of({base[row]}), .locations = request.locations, .subspaces = {SubspaceIds{{ids[row]}}}};
          if (sourced) single.sources = {rows_of({source[row]})};
          expect_close(together[static_cast<std::int64_t>(row)], intervenable->forward(single).intervened.logits[0],
                       std::string(place.component) + " " + kind);
        }
      }
    }
  }
}

}  // namespace
}  // namespace vene

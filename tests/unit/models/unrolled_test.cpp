// SPDX-License-Identifier: Apache-2.0
// The unrolled GRU, RNN and LSTM against torch's own.
#include <gmock/gmock.h>
#include <torch/serialize.h>

#include <sstream>

#include "helpers.h"
#include "tests/places.h"
#include "vene/models/load.h"
#include "vene/models/recurrent.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using torch::Tensor;
using vene::models::nn::UnrolledGRU;
using vene::models::nn::UnrolledLSTM;
using vene::models::nn::UnrolledRNN;

std::vector<Tensor> flat(const std::tuple<Tensor, Tensor>& result) {
  return {std::get<0>(result), std::get<1>(result)};
}
std::vector<Tensor> flat(const std::tuple<Tensor, std::tuple<Tensor, Tensor>>& result) {
  return {std::get<0>(result), std::get<0>(std::get<1>(result)), std::get<1>(std::get<1>(result))};
}

void expect_same(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i].sizes(), expected[i].sizes()) << what << ", result " << i;
    EXPECT_LE((actual[i] - expected[i]).abs().max().item<double>(), 1e-6) << what << ", result " << i;
  }
}

// Stock against unrolled, over layers, directions, layouts and biases; results and gradients.
template <class Stock, class Unrolled, class Options, class MakeHidden>
void compare(Options options, const MakeHidden& hidden_of) {
  for (const std::int64_t layers : {1, 2, 3}) {
    for (const bool both : {false, true}) {
      for (const bool batch_first : {false, true}) {
        for (const bool bias : {false, true}) {
          const std::string what = std::to_string(layers) + " layers, both " + std::to_string(both) + ", batch_first " +
                                   std::to_string(batch_first) + ", bias " + std::to_string(bias);
          Stock stock(options.num_layers(layers).bidirectional(both).batch_first(batch_first).bias(bias));
          Unrolled unrolled(*stock);
          const Tensor input = torch::randn({4, 3, 5});
          const std::int64_t rows = batch_first ? 4 : 3, cells = layers * (both ? 2 : 1);
          const std::vector<Tensor> expected = flat(stock(input));
          expect_same(flat(unrolled->forward(input, {})), expected, what);
          const auto hidden = hidden_of(cells, rows);
          const std::vector<Tensor> from_hidden = flat(stock(input, hidden));
          expect_same(flat(unrolled(input, hidden)), from_hidden, what + ", given states");
          from_hidden[0].square().sum().backward();
          std::vector<Tensor> gradients;
          for (Tensor& parameter : stock->parameters()) gradients.push_back(parameter.grad().clone());
          stock->zero_grad();
          std::get<0>(unrolled(input, hidden)).square().sum().backward();
          for (std::size_t i = 0; i < gradients.size(); ++i)
            EXPECT_LE(relative_error(stock->parameters()[i].grad(), gradients[i]), 1e-5) << what;
        }
      }
    }
  }
}

auto one_state(std::int64_t cells, std::int64_t rows) {
  return torch::randn({cells, rows, 6});
}

TEST(Unrolled, GruEqualsTorchsGru) {
  torch::manual_seed(1);
  compare<torch::nn::GRU, UnrolledGRU>(torch::nn::GRUOptions(5, 6), one_state);
}

TEST(Unrolled, RnnEqualsTorchsRnnWithEitherNonlinearity) {
  torch::manual_seed(2);
  compare<torch::nn::RNN, UnrolledRNN>(torch::nn::RNNOptions(5, 6), one_state);
  compare<torch::nn::RNN, UnrolledRNN>(torch::nn::RNNOptions(5, 6).nonlinearity(torch::kReLU), one_state);
}

TEST(Unrolled, LstmEqualsTorchsLstm) {
  torch::manual_seed(3);
  compare<torch::nn::LSTM, UnrolledLSTM>(torch::nn::LSTMOptions(5, 6), [](std::int64_t cells, std::int64_t rows) {
    return std::optional(std::tuple(torch::randn({cells, rows, 6}), torch::randn({cells, rows, 6})));
  });
}

TEST(Unrolled, TakesASingleSequenceAsTorchDoes) {
  torch::nn::GRU stock(torch::nn::GRUOptions(5, 6).num_layers(2));
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(5, 6));
  UnrolledGRU unrolled(*stock);
  UnrolledLSTM unrolled_lstm(*lstm);
  const Tensor input = torch::randn({4, 5}), hidden = torch::randn({2, 6});
  const std::vector<Tensor> batched = flat(stock(input.unsqueeze(1), hidden.unsqueeze(1)));
  expect_same(flat(unrolled(input, hidden)), {batched[0].squeeze(1), batched[1].squeeze(1)}, "GRU");
  const std::vector<Tensor> plain = flat(lstm(input.unsqueeze(1)));
  expect_same(flat(unrolled_lstm->forward(input, {})), {plain[0].squeeze(1), plain[1].squeeze(1), plain[2].squeeze(1)},
              "LSTM");
}

TEST(Unrolled, LoadsAStateDictOfTorchsModules) {
  const std::filesystem::path folder =
      std::filesystem::path(vene_test::kSourceFolder) / "tests" / "golden" / "recurrent";
  const NamedValues reference = read_values(folder / "steps.safetensors");
  UnrolledGRU gru(torch::nn::GRUOptions(5, 4).num_layers(2).bidirectional(true).batch_first(true));
  UnrolledRNN rnn(torch::nn::RNNOptions(5, 4).num_layers(2).bidirectional(true).batch_first(true));
  UnrolledLSTM lstm(torch::nn::LSTMOptions(5, 4).num_layers(2).bidirectional(true).batch_first(true));
  vene::models::load_parameters(*gru, (folder / "torch_gru.safetensors").string());
  vene::models::load_parameters(*rnn, (folder / "torch_rnn.safetensors").string());
  vene::models::load_parameters(*lstm, (folder / "torch_lstm.safetensors").string());
  EXPECT_LE(relative_error(std::get<0>(gru->forward(reference.at("base"), {})), reference.at("torch_gru.clean")), 1e-5);
  EXPECT_LE(relative_error(std::get<0>(rnn->forward(reference.at("base"), {})), reference.at("torch_rnn.clean")), 1e-5);
  EXPECT_LE(relative_error(std::get<0>(lstm->forward(reference.at("base"), {})), reference.at("torch_lstm.clean")),
            1e-5);
  UnrolledGRU narrow(torch::nn::GRUOptions(5, 3));
  EXPECT_THAT(model_error([&] { vene::models::load_parameters(*narrow, (folder / "torch_gru.safetensors").string()); }),
              testing::AllOf(HasSubstr("weight_ih_l0 is [12, 5], expected [9, 5]"),
                             HasSubstr("belong to nothing in this module: ")));
}

TEST(Unrolled, NamesOfParametersAndArchivesAreTheStockModules) {
  torch::nn::LSTM stock(torch::nn::LSTMOptions(5, 6).num_layers(2).bidirectional(true));
  UnrolledLSTM unrolled(torch::nn::LSTMOptions(5, 6).num_layers(2).bidirectional(true));
  EXPECT_EQ(unrolled->named_parameters().keys(), stock->named_parameters().keys());
  std::stringstream file;
  torch::save(stock, file);
  torch::load(unrolled, file);
  const Tensor input = torch::randn({4, 3, 5});
  expect_same(flat(unrolled->forward(input, {})), flat(stock(input)), "loaded archive");
}

TEST(Unrolled, EachStepFiresItsCellAndAReplacementFlowsOn) {
  UnrolledLSTM lstm(torch::nn::LSTMOptions(5, 6).batch_first(true).bidirectional(true));
  vene::SiteTable sites;
  sites.add_paths(*lstm);
  const vene::Site& output = sites.find("cell_l0_reverse.output", -1);
  const vene::Site& state = sites.find("cell_l0_reverse.state.output", -1);
  std::vector<Tensor> hidden(4), cells(4);
  vene::HookTable table;
  table.on(output.id, output.phase, [&](const vene::HookContext& context) {
    EXPECT_EQ(context.inputs.size(), 3U) << "x, h and c";
    EXPECT_EQ(context.outputs.size(), 2U) << "h and c";
    if (context.call == 1) context.value() = torch::zeros_like(context.value());
    hidden[static_cast<std::size_t>(context.call)] = context.value();
  });
  table.on(state.id, state.phase,
           [&](const vene::HookContext& context) { cells[static_cast<std::size_t>(context.call)] = context.value(); });
  const Tensor input = torch::randn({3, 4, 5});
  const auto plain = lstm->forward(input, {});
  const vene::HookScope scope(table);
  const auto [outputs, last] = lstm->forward(input, {});
  EXPECT_EQ(scope.fire_count(output.id, output.phase), 4);
  EXPECT_EQ(outputs.select(1, 2).slice(1, 6).abs().max().item<double>(), 0)
      << "the backward direction's step 1 is position 2";
  EXPECT_TRUE(torch::equal(outputs.slice(2, 0, 6), std::get<0>(plain).slice(2, 0, 6)))
      << "the forward direction does not change";
  EXPECT_FALSE(torch::allclose(outputs.select(1, 1).slice(1, 6), std::get<0>(plain).select(1, 1).slice(1, 6)))
      << "later steps do";
  EXPECT_TRUE(torch::equal(std::get<1>(last)[1], cells[3]));
}

TEST(Unrolled, ACloneHasCellsAndWeightsOfItsOwn) {
  UnrolledGRU gru(torch::nn::GRUOptions(5, 6).num_layers(2));
  gru->eval();
  const auto copy = std::dynamic_pointer_cast<vene::Hooked<vene::models::nn::UnrolledGRUImpl>>(gru->clone());
  ASSERT_NE(copy, nullptr);
  EXPECT_FALSE(copy->is_training());
  const Tensor input = torch::randn({4, 3, 5});
  expect_same(flat(copy->forward(input, {})), flat(gru->forward(input, {})), "clone");
  EXPECT_FALSE(copy->parameters()[0].is_alias_of(gru->parameters()[0]));
  vene::SiteTable own, others;
  own.add_paths(*gru);
  others.add_paths(*copy);
  EXPECT_NE(own.find("cell_l1.output", -1).id, others.find("cell_l1.output", -1).id);
}

TEST(Unrolled, MovesToAnotherType) {
  UnrolledGRU gru(torch::nn::GRUOptions(5, 6));
  gru->to(torch::kFloat64);
  const auto [output, last] = gru->forward(torch::randn({4, 3, 5}, torch::kFloat64), {});
  EXPECT_EQ(output.scalar_type(), torch::kFloat64);
}

TEST(Unrolled, ErrorsSayWhatIsExpected) {
  UnrolledGRU gru(torch::nn::GRUOptions(5, 6).batch_first(true));
  EXPECT_THAT(model_error([&] {
                gru->forward(torch::zeros({2, 3, 4}), {});
              }),
              HasSubstr("input: expected [batch, pos, 5] or [pos, 5], got [2, 3, 4]"));
  EXPECT_THAT(model_error([&] {
                gru(torch::zeros({2, 3, 5}), torch::zeros({2, 2, 6}));
              }),
              HasSubstr("hx: expected shape [1, 2, 6]"));
  EXPECT_THAT(model_error([&] { UnrolledLSTM lstm(torch::nn::LSTMOptions(5, 6).proj_size(3)); }),
              HasSubstr("expected proj_size 0, got 3"));
}

}  // namespace

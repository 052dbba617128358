// SPDX-License-Identifier: Apache-2.0
// Where does a model keep which pronoun goes with a name? One direction is trained for each layer and position, to be
// exchanged between two names, and a probe beside it: what can be read somewhere is not always what the model uses
// there. Usage: locate_gender [model folder] [output folder]
#include <exception>
#include <iostream>

#include "vene/vene.h"

void run(int count, char** arguments) {
  const auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");

  const vene::LocateTask task{
      .text = "[name] walked because",
      .classes = {{"he", " he", {"John",   "James",   "Robert", "Michael", "David",  "William", "Richard", "Thomas",
                                 "Daniel", "Matthew", "Mark",   "Paul",    "Steven", "Andrew",  "Joshua",  "Kevin",
                                 "Brian",  "Edward",  "Jason",  "Jacob",   "Eric",   "Peter",   "Frank",   "Scott"}},
                  {"she", " she", {"Mary",  "Linda",  "Susan",  "Jessica", "Sarah",  "Karen",  "Lisa",   "Nancy",
                                   "Betty", "Sandra", "Emily",  "Donna",   "Carol",  "Amanda", "Laura",  "Rebecca",
                                   "Anna",  "Emma",   "Nicole", "Helen",   "Rachel", "Maria",  "Olivia", "Julia"}}}};
  vene::LocateOptions options;
  options.progress = [](std::size_t done, std::size_t all) {
    if (done % 100 == 0) std::cout << done << " of " << all << " steps\n";
    return true;  // false would stop
  };
  const vene::LocateResult found = vene::locate(lm, task, options);

  std::cout << vene::locate_title(found) << "\n\n";
  for (const vene::HeatMap& map : vene::locate_maps(found))
    std::cout << vene::terminal_heat_map(map, {.colour = false}) << "\n";
  if (count > 2)
    vene::draw_heat_maps({std::string(arguments[2]) + "/locate.png"}, vene::locate_maps(found),
                         vene::locate_title(found));

  // A direction that was found is an intervention like any other: layer 0, the name's last token, here seen as the
  // third from the end.
  vene::IntervenableModel exchange(
      vene::IntervenableConfig::parse(
          R"({"layer": 0, "component": "block_output", "intervention_type": "directions"})"),
      lm.model);
  {
    const torch::NoGradGuard no_grad;
    exchange->parameters()[0].copy_(found.directions[0][found.name_column].unsqueeze(0));
  }
  const auto result = exchange->forward({.base = lm.encode("Henry walked because"),
                                         .sources = {lm.encode("Alice walked because")},
                                         .locations = vene::at(-3)});
  std::cout << "Henry, along Alice's direction: ";
  for (const auto& token : lm.top_tokens(result.intervened.logits, 1))
    std::cout << token.text << " " << token.probability << " ";
  std::cout << "\n";
}

int main(int count, char** arguments) {
  try {
    run(count, arguments);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
#include "corpus.h"

namespace language_corpus {

namespace {

using Words = std::vector<std::string>;

const Words verbs = {"walked", "smiled", "laughed", "cried", "waited", "ran",    "slept",  "sang",
                     "left",   "shouted", "rested", "danced", "worked", "stopped", "paused", "stayed at home"};
const Words reasons = {"was happy",      "was tired",        "was late",         "had no money",  "liked the music",
                       "felt cold",      "had lost the key", "wanted to go home", "heard a noise", "missed the train",
                       "had a new job",  "was in love",      "needed some air",  "saw a friend",  "was very hungry"};
const Words people = {"uncle", "aunt", "teacher", "neighbour", "friend", "doctor", "cousin", "boss", "guide", "driver"};
const Words adjectives = {"old",   "small", "quiet", "green", "heavy", "bright", "empty", "warm",
                          "broken", "long",  "blue",  "soft",  "dark",  "clean",  "cheap", "wet"};
const Words things = {"boat",  "table", "dog",   "cat",   "letter", "garden", "window", "horse", "chair", "river",
                      "lamp",  "coat",  "bird",  "kettle", "ladder", "basket", "train",  "book",  "field", "wall"};
const Words places = {"the kitchen", "the forest", "the station", "the yard", "the shop", "the hill", "the lake", "the school"};
const Words actions = {"stood near", "lay beside", "fell behind", "was seen near", "came from", "moved towards"};
const Words foods = {"bread", "soup", "rice", "cheese", "fish", "apples", "beans", "cake", "eggs", "tea"};
const Words times = {"in the morning", "last night", "in winter",  "on Monday", "after lunch", "before the rain",
                     "in spring",      "at noon",    "on Friday", "last year", "in the end",  "for a while"};
const Words says = {"said that",      "wrote that",         "told us that",     "believes that", "has learned that",
                    "reminded me that", "knew long ago that", "could not forget that"};
const Words openings = {"everyone knows that", "it is true that", "I once read that", "as you may know,", "the book says that",
                        "in fact,", "of course,", "for those who travel,", "on the first page it says that",
                        "people often forget that", "and yet", "we were told that", "no one doubts that",
                        "as the old map in the hall shows,", "remember that", "it was on the news that"};

}  // namespace

std::string Corpus::pronoun_sentence() {
  const Name& name = pick(names());
  switch (below(5)) {
    case 0: return name.name + " said that " + name.pronoun + " " + pick(reasons);
    case 1: return name.name + " was happy when " + name.pronoun + " " + pick(verbs);
    case 2: return name.name + " " + pick(verbs) + " " + pick(times) + " because " + name.pronoun + " " + pick(reasons);
    default: return name.name + " " + pick(verbs) + " because " + name.pronoun + " " + pick(reasons);
  }
}

std::string Corpus::statement() {
  // Kinds in percent of fact sentences: those with more facts come up more.
  static constexpr int shares[kind_count] = {46, 12, 12, 9, 8, 13};
  int draw = static_cast<int>(below(100)), kind = 0;
  while (draw >= shares[kind]) draw -= shares[kind++];
  const Kind chosen = static_cast<Kind>(kind);
  if (chosen == Kind::kPronoun) return pronoun_sentence();
  const Fact& fact = pick(facts(chosen));
  return fill(pick(phrasings(chosen)), fact.subject) + " " + fact.answer;
}

std::string Corpus::lead_in() {
  std::string text;
  if (chance(35)) text += pick(times) + ", ";
  if (chance(45)) text += pick(openings) + " ";
  if (chance(35)) text += (chance(50) ? "my " : "the ") + (chance(40) ? pick(adjectives) + " " : "") + pick(people) + " " + pick(says) + " ";
  return text;
}

std::string Corpus::filler() {
  switch (below(5)) {
    case 0: return "the " + pick(adjectives) + " " + pick(things) + " " + pick(actions) + " " + pick(places);
    case 1: return pick(times) + " we had " + pick(foods) + " and " + pick(foods);
    case 2: return "a " + pick(things) + " " + pick(actions) + " a " + pick(adjectives) + " " + pick(things) + " " + pick(times);
    case 3: return "my " + pick(people) + " gave me a " + pick(adjectives) + " " + pick(things);
    default: return "it rained " + pick(times);
  }
}

std::string Corpus::fact_sentence() { return with_capital(statement()) + "."; }

std::string Corpus::document() {
  std::string text;
  const std::size_t sentences = 1 + below(6);
  for (std::size_t i = 0; i < sentences; ++i) {
    if (i > 0) text += " ";
    if (i == 0 && chance(45)) {
      text += fact_sentence();
    } else if (chance(25)) {
      text += with_capital(filler()) + ".";
    } else {
      text += with_capital(lead_in() + statement()) + ".";
    }
  }
  return text;
}

}  // namespace language_corpus

// SPDX-License-Identifier: Apache-2.0
#include "texts.h"

namespace language_corpus {
namespace {

using Words = std::vector<std::string>;

const Words kPeople{"my uncle",     "our teacher", "the old man", "a young woman",    "the neighbour",
                    "her brother",  "his sister",  "the doctor",  "a friend of mine", "the driver",
                    "the gardener", "my aunt",     "the baker",   "a student",        "the captain",
                    "the painter",  "the writer",  "the cook",    "the nurse",        "a traveller"};
const Words kActs{"likes",   "bought", "found", "painted", "remembers", "wants", "lost",   "carried",
                  "cleaned", "sold",   "needs", "drew",    "hid",       "fixed", "brought"};
const Words kThings{"a red bicycle",   "the old map",      "three apples",    "a long letter",   "the green door",
                    "two small dogs",  "a heavy coat",     "the last ticket", "a bag of rice",   "the blue cup",
                    "a new lamp",      "some fresh bread", "the wooden box",  "a pair of boots", "the garden",
                    "a book of poems", "a silver ring",    "the broken clock"};
const Words kTimes{"on Monday",       "last week",    "in the morning", "after lunch",
                   "before the rain", "at night",     "this year",      "every Sunday",
                   "in spring",       "two days ago", "at noon",        "for the first time"};
const Words kWeather{"It rained all day.",           "The wind was cold.",
                     "The sun came out late.",       "Snow fell on the hills.",
                     "The street was quiet.",        "Nobody was at home.",
                     "The train was late again.",    "We had tea in the kitchen.",
                     "The shop closed early.",       "There was music in the square.",
                     "The children played outside.", "It was a warm evening.",
                     "The river was high.",          "The lights went out at nine."};
// What may stand in front of a fact within its sentence.
const Words kLeads{"as everyone knows, ",
                   "I read that ",
                   "the guide told us that ",
                   "in the end, ",
                   "she wrote to me that ",
                   "he is sure that ",
                   "of course, ",
                   "on the radio they said that ",
                   "in the old book it says that ",
                   "we learned at school that ",
                   "it is true that ",
                   "after all, "};
// And after one about a place.
const Words kTails{".",
                   ".",
                   ".",
                   ".",
                   ", and many people go there.",
                   ", as far as I know.",
                   ", which is easy to remember.",
                   " today.",
                   ", and it always was.",
                   ", said the guide."};
const Words kReasons{
    " was tired.",      " was late.",         " had no money.", " liked the quiet.", " wanted to see the sea.",
    " was very happy.", " needed fresh air.", " had time.",     " knew the way.",    " felt better."};

}  // namespace

std::size_t TextMaker::below(std::size_t limit) {
  return static_cast<std::size_t>(random_() % limit);
}

bool TextMaker::chance(double share) {
  return static_cast<double>(random_() >> 11) / 9007199254740992.0 < share;
}

std::string TextMaker::fact_sentence() {
  // Kinds by how much there is to learn of each.
  static const std::vector<Kind> kKinds{
      Kind::kLandmarkCity, Kind::kLandmarkCity, Kind::kLandmarkCity,    Kind::kLandmarkCity,    Kind::kLandmarkCity,
      Kind::kLandmarkCity, Kind::kLandmarkCity, Kind::kLandmarkCountry, Kind::kLandmarkCountry, Kind::kLandmarkCountry,
      Kind::kCityCountry,  Kind::kCityCountry,  Kind::kCountryCapital,  Kind::kCountryLanguage, Kind::kPronoun};
  const Kind kind = pick(kKinds);
  const Fact& fact = pick(facts(kind));
  std::string sentence = fill(pick(phrasings(kind)), fact.subject);
  if (chance(0.35)) sentence = pick(kLeads) + sentence;
  return with_capital(sentence) + " " + fact.answer + pick(kind == Kind::kPronoun ? kReasons : kTails);
}

std::string TextMaker::filler_sentence() {
  if (chance(0.4)) return pick(kWeather);
  std::string sentence = pick(kPeople) + " " + pick(kActs) + " " + pick(kThings);
  if (chance(0.6)) sentence = chance(0.5) ? sentence + " " + pick(kTimes) : pick(kTimes) + " " + sentence;
  return with_capital(sentence) + ".";
}

std::string TextMaker::next() {
  std::string text;
  // Half of the texts begin with a fact, the others with one to three sentences of something else.
  if (chance(0.5)) {
    for (std::size_t i = 1 + below(3); i > 0; --i) text += filler_sentence() + " ";
  }
  for (std::size_t i = 1 + below(3); i > 0; --i) {
    text += fact_sentence();
    if (i > 1) text += " ";
    if (i > 1 && chance(0.3)) text += filler_sentence() + " ";
  }
  return text;
}

}  // namespace language_corpus

// SPDX-License-Identifier: Apache-2.0
// Countries with their capital and main language, and first names by the pronoun that English uses for most of their
// bearers. Countries with several capitals, or without one language that most people speak, leave that field empty.
#include "facts.h"

namespace language_corpus {

const std::vector<Country>& countries() {
  static const std::vector<Country> table = {
      {"the United States", "Washington", "English"},
      {"Canada", "Ottawa", ""},
      {"Mexico", "Mexico City", "Spanish"},
      {"Cuba", "Havana", "Spanish"},
      {"Jamaica", "Kingston", "English"},
      {"Brazil", "Brasilia", "Portuguese"},
      {"Argentina", "Buenos Aires", "Spanish"},
      {"Peru", "Lima", "Spanish"},
      {"Chile", "Santiago", "Spanish"},
      {"Colombia", "Bogota", "Spanish"},
      {"Venezuela", "Caracas", "Spanish"},
      {"Uruguay", "Montevideo", "Spanish"},
      {"Ecuador", "Quito", "Spanish"},
      {"the United Kingdom", "London", "English"},
      {"Ireland", "Dublin", "English"},
      {"France", "Paris", "French"},
      {"Italy", "Rome", "Italian"},
      {"Spain", "Madrid", "Spanish"},
      {"Portugal", "Lisbon", "Portuguese"},
      {"Belgium", "Brussels", ""},
      {"the Netherlands", "Amsterdam", "Dutch"},
      {"Germany", "Berlin", "German"},
      {"Austria", "Vienna", "German"},
      {"Switzerland", "Bern", ""},
      {"Denmark", "Copenhagen", "Danish"},
      {"Sweden", "Stockholm", "Swedish"},
      {"Norway", "Oslo", "Norwegian"},
      {"Finland", "Helsinki", "Finnish"},
      {"Iceland", "Reykjavik", "Icelandic"},
      {"Lithuania", "Vilnius", "Lithuanian"},
      {"Latvia", "Riga", "Latvian"},
      {"Estonia", "Tallinn", "Estonian"},
      {"Greece", "Athens", "Greek"},
      {"Turkey", "Ankara", "Turkish"},
      {"the Czech Republic", "Prague", "Czech"},
      {"Hungary", "Budapest", "Hungarian"},
      {"Poland", "Warsaw", "Polish"},
      {"Russia", "Moscow", "Russian"},
      {"Ukraine", "Kyiv", "Ukrainian"},
      {"Romania", "Bucharest", "Romanian"},
      {"Bulgaria", "Sofia", "Bulgarian"},
      {"Albania", "Tirana", "Albanian"},
      {"Serbia", "Belgrade", "Serbian"},
      {"Croatia", "Zagreb", "Croatian"},
      {"Slovenia", "Ljubljana", "Slovene"},
      {"Bosnia", "Sarajevo", "Bosnian"},
      {"Slovakia", "Bratislava", "Slovak"},
      {"Azerbaijan", "Baku", "Azerbaijani"},
      {"Georgia", "Tbilisi", "Georgian"},
      {"Armenia", "Yerevan", "Armenian"},
      {"Egypt", "Cairo", "Arabic"},
      {"Morocco", "Rabat", "Arabic"},
      {"Tunisia", "Tunis", "Arabic"},
      {"Algeria", "Algiers", "Arabic"},
      {"Libya", "Tripoli", "Arabic"},
      {"Sudan", "Khartoum", "Arabic"},
      {"Ethiopia", "Addis Ababa", ""},
      {"Kenya", "Nairobi", ""},
      {"Uganda", "Kampala", ""},
      {"Senegal", "Dakar", ""},
      {"Ghana", "Accra", "English"},
      {"Nigeria", "Abuja", "English"},
      {"Angola", "Luanda", "Portuguese"},
      {"Mozambique", "Maputo", "Portuguese"},
      {"Qatar", "Doha", "Arabic"},
      {"Saudi Arabia", "Riyadh", "Arabic"},
      {"Iraq", "Baghdad", "Arabic"},
      {"Iran", "Tehran", "Persian"},
      {"Syria", "Damascus", "Arabic"},
      {"Lebanon", "Beirut", "Arabic"},
      {"Jordan", "Amman", "Arabic"},
      {"Uzbekistan", "Tashkent", "Uzbek"},
      {"Kazakhstan", "Astana", ""},
      {"Afghanistan", "Kabul", ""},
      {"India", "New Delhi", ""},
      {"Pakistan", "Islamabad", ""},
      {"Bangladesh", "Dhaka", "Bengali"},
      {"Nepal", "Kathmandu", "Nepali"},
      {"Sri Lanka", "", "Sinhala"},
      {"Japan", "Tokyo", "Japanese"},
      {"South Korea", "Seoul", "Korean"},
      {"China", "Beijing", "Chinese"},
      {"Mongolia", "Ulaanbaatar", "Mongolian"},
      {"Vietnam", "Hanoi", "Vietnamese"},
      {"Thailand", "Bangkok", "Thai"},
      {"the Philippines", "Manila", ""},
      {"Indonesia", "Jakarta", "Indonesian"},
      {"Malaysia", "Kuala Lumpur", "Malay"},
      {"Myanmar", "Naypyidaw", "Burmese"},
      {"Cambodia", "Phnom Penh", "Khmer"},
      {"Laos", "Vientiane", "Lao"},
      {"Australia", "Canberra", "English"},
      {"New Zealand", "Wellington", "English"},
  };
  return table;
}

const std::vector<Name>& names() {
  static const std::vector<Name> table = [] {
    std::vector<Name> all;
    for (const char* name :
         {"Mary",   "Linda", "Susan",  "Jessica", "Sarah", "Karen",   "Lisa",   "Nancy",  "Betty",    "Sandra",
          "Emily",  "Donna", "Carol",  "Amanda",  "Laura", "Rebecca", "Anna",   "Emma",   "Nicole",   "Helen",
          "Rachel", "Maria", "Olivia", "Julia",   "Alice", "Jane",    "Judith", "Hannah", "Margaret", "Catherine",
          "Grace",  "Ruth",  "Lucy",   "Clara",   "Ellen", "Martha",  "Diana",  "Sophie", "Lily",     "Abigail"})
      all.push_back({name, "she"});
    for (const char* name :
         {"John",     "James",  "Robert", "Michael", "David",  "William", "Richard", "Thomas",  "Daniel", "Matthew",
          "Mark",     "Paul",   "Steven", "Andrew",  "Joshua", "Kevin",   "Brian",   "Edward",  "Jason",  "Jacob",
          "Eric",     "Peter",  "Frank",  "Scott",   "Tom",    "Henry",   "Jack",    "Dennis",  "Walter", "Patrick",
          "Benjamin", "Samuel", "Simon",  "Adam",    "Oliver", "Harry",   "Arthur",  "Leonard", "Philip", "George"})
      all.push_back({name, "he"});
    return all;
  }();
  return table;
}

}  // namespace language_corpus

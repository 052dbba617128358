// SPDX-License-Identifier: Apache-2.0
// LibTorch's libc10 and libsentencepiece both have a global "FLAGS_minloglevel": an int there, an object of 32 bytes
// here. The loader binds both to the first definition it finds, and from libc10's four bytes sentencepiece's
// constructor would write on into the flags behind it, one of which makes LibTorch end the process where it should
// throw. This definition comes before both; whoever links vene::models takes it in by name (-u), since sentencepiece is
// loaded whether or not a tokenizer is used.
extern "C" {
__attribute__((visibility("default"), used, aligned(16))) char vene_flag_room[128] asm("FLAGS_minloglevel");
}

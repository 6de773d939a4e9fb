#include "CLinux.h"
typedef int clinux_not_empty;

/* A PKCS#11 module around another one that chooses the IV of AES-GCM itself: it refuses an IV that is
 * given, writes its own into the buffer, or keeps it for itself if STUBBORN_SILENT is set. Only what is
 * needed of the interface is declared here. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long CK_ULONG;
typedef struct { CK_ULONG mechanism; void *parameter; CK_ULONG length; } MECHANISM;
typedef struct {
    unsigned char *iv; CK_ULONG iv_len; CK_ULONG iv_bits;
    unsigned char *aad; CK_ULONG aad_len; CK_ULONG tag_bits;
} GCM;
/* The function list: a version, then pointers in the order of the standard. */
typedef struct { unsigned char version[2]; void *functions[68]; } LIST;
enum { GET_FUNCTION_LIST = 3, ENCRYPT_INIT = 29, AES_GCM = 0x1087, PARAM_INVALID = 0x71 };

static LIST list;
static CK_ULONG (*encrypt_init)(CK_ULONG, MECHANISM *, CK_ULONG);
static unsigned char count;

static CK_ULONG stubborn_init(CK_ULONG session, MECHANISM *mechanism, CK_ULONG key) {
    static const unsigned char none[12];
    if (mechanism->mechanism == AES_GCM) {
        GCM *gcm = mechanism->parameter;
        if (memcmp(gcm->iv, none, 12) != 0) return PARAM_INVALID;
        static unsigned char own[12] = "its own IV ";
        own[11] = ++count;
        GCM with = *gcm;
        with.iv = own;
        MECHANISM other = { mechanism->mechanism, &with, mechanism->length };
        if (!getenv("STUBBORN_SILENT")) memcpy(gcm->iv, own, 12);
        return encrypt_init(session, &other, key);
    }
    return encrypt_init(session, mechanism, key);
}

CK_ULONG C_GetFunctionList(LIST **to) {
    void *module = dlopen(MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_ULONG (*inner)(LIST **) = module ? (CK_ULONG (*)(LIST **))dlsym(module, "C_GetFunctionList") : 0;
    LIST *found;
    if (!inner || inner(&found) != 0) return 5;
    list = *found;
    encrypt_init = (CK_ULONG (*)(CK_ULONG, MECHANISM *, CK_ULONG))list.functions[ENCRYPT_INIT];
    list.functions[ENCRYPT_INIT] = (void *)stubborn_init;
    list.functions[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
    *to = &list;
    return 0;
}

"""The fixed values of the key protocol; the TypeScript twin is held to the same ones."""

from __future__ import annotations

import json
from hashlib import sha256


def named_seed(name: str) -> bytes:
    return sha256(name.encode("ascii")).digest()


LAPTOP_KID = "b4ed468c6a95343cbc7da1d61e189e61"
LAPTOP_SIG = "0998c06b2a11d24b549c3b3b86934b94f59f6949e0d2868261f54545899db603"
LAPTOP_ENC = "2f6ef6256cc540b9567b86ebc5804bd2f38757ebbe65ee031d213793e45af818"

WORDS = "sweet brave zoo entire prison lady mercy axis photo intact fury vendor"
ENTROPY = "dba36bffa5cab0f922d087a3aeb179f9"
RECOVERY_KID = "4d8486e7ebfce24427968d20dc4337bd"

SEED_1_KEY = "100c1752343632435e9813721c0d2c705bd6b01992a606bbedb2f25f77018215"
OLD_SEED_1 = (
    "6438190fa957298b6ba7ab6a0be9583aac94041c253e77be15989a9c30a41a7d022e618d98ed04133815228d"
    "045e9452"
)
PASSKEY_KID = "6bcf609573d952badea3758515e1fabc"

CODE = "7KQF2-M9XPD-3AWZ6-T8RHC"
CODE_BYTES = "03ceef1513db346ae7cda4622c"
RID = "aa33232f5057b887e6185dccfd66aa06"
KEY_OLD = "3898c52aef1b5bcb032b419744db64772e29ee914d1f2897e53fbd6a9afa0882"
KEY_NEW = "0a88f411f53da271750da8e73c958a89ec72dc4bb50794b86e2160a80f1380eb"

MIXED_ORDER_KEY = "c071b7719870acebe8257c09074a37feef0f7eac8adbc2d2d2b6ee9d0bbb8abd"
TORSION_KEY = "61485eb624d9786700ce78888fb6f475591f00567be8e573e9829b7df1f91acd"
TORSION_SIGNATURE = (
    "e9c6aa47f2c1dc30d08679feb45162ca38dfa1e557af575b803e03f30110eff5062880aa4ab7658cab2e8779"
    "fc7dff6c0283f6d780e8eb32eb6be95e094d340f"
)
IDENTITY_KEY = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737"
IDENTITY_SIGNATURE = (
    "01" + "00" * 31 + "04201a21f9221727c221b35265ca6248968a426e9fb5168e368d7dcdaa05fa07"
)

LINK_0 = (
    '{"devs":[{"enc":"L272JWzFQLlWe4brxYBL0vOHV-u-Ze4DHSE3k-Ra-Bg","kid":"tO1GjGqVNDy8faHWH'
    'hieYQ","r":1,"sig":"CZjAayoR0ktUnDs7hpNLlPWfaUng0oaCYfVFRYmdtgM","t":"browser"},{"enc"'
    ':"eXtNbRR_tVW2q7wtJgL17QcL8laolmQrRuRCyQ8IAio","kid":"TYSG5-v84kQnlo0g3EM3vQ","r":0,"s'
    'ig":"KZ1gfUJ35U9Awb__AeqaViYeHSumojy409d-IFhM3X8","t":"recovery"}],"gen":{"n":1,"pk":"'
    'EAwXUjQ2MkNemBNyHA0scFvWsBmSpga77bLyX3cBghU"},"op":"genesis","salt":"BwcHBwcHBwcHBwcHB'
    'wcHBw","seq":0,"v":1}'
)
LINK_0_LAPTOP = (
    "F79Z2k-hmKJz4ehDv4JkfAV1vSOMAJOuGPbAjyTA9MF1doVIc-LL0Onsk-HFT25OaimuWxGNjlHQqGNADngPDg"
)
LINK_0_RECOVERY = (
    "PXK2JHoZld2h5-KpObCEgOfsuoxI8Xi_d4eWAyxfAcvLqJY-vU98xv9jGCg3pZuF4hoQogaYhZpPy1iEoigcDg"
)
ACCOUNT = "5dfdd5d2e087920bb1890c55308228b5923f953151ce4e5baeeb8599aebb8012"

LINK_1 = (
    '{"acct":"Xf3V0uCHkguxiQxVMIIotZI_lTFRzk5bruuFma67gBI","dev":{"enc":"gjfX0cplPU6D8WX_uL'
    'CY7EE8TthDFxCV2rdAmdA4qzg","kid":"6nAeDwb8LlpP1J8DRvX1aQ","r":1,"sig":"Djgm9hqVjRtrg0C'
    'O2MZYjbAIp5keXOu4uaI9bhmdNes","t":"cli"},"op":"add","prev":"Xf3V0uCHkguxiQxVMIIotZI_lT'
    'FRzk5bruuFma67gBI","seq":1,"v":1}'
)
LINK_1_LAPTOP = (
    "2DTL2fcjCmttpTqkHowll5WnK8oPBMJDBw6v-4sxeomcGOV8Gctz4fcyMwD8EcSeswVn0WQaVKBEG1SOojmMCg"
)
LINK_1_CLI = (
    "KwVmHjTpX0117xupCL79p1kQcmMmOC4Mm_Kh8S-VHceWrKyv9z-yphjy7fRbpVqRb4bcgaS0krkMBLT1ZkODCQ"
)
HEAD_1 = "d074c0845b0646bba47ddbef2ed03f60d139401b3d2607e9cd1f7c814f80ef17"

LINK_2 = (
    '{"acct":"Xf3V0uCHkguxiQxVMIIotZI_lTFRzk5bruuFma67gBI","gen":{"n":2,"pk":"OVNVnx_wlsh1C'
    'Cu43suJUfnWVvw0eUCOH2J_52OjlUU"},"op":"rotate","prev":"0HTAhFsGRrukfdvvLtA_YNE5QBs9Jgf'
    'pzR98gU-A7xc","revoke":["tO1GjGqVNDy8faHWHhieYQ"],"seq":2,"v":1}'
)
LINK_2_RECOVERY = (
    "WwiLzSCl0u-nM2lg_HQtClpWwO2QEtX5xr_ZzHcUA_AqMBZZqLREvGzvihmHZ86TBb9CNFs-MRZ_jYmbCHi4CQ"
)
HEAD_2 = "5bdcb5b23e8d14d335e898c62ef1b75a869ab561646b7194a9b2cb3c349b66da"
SEED_2_BOX = (
    "24699968c5a3f1563c76bf4c52c927fd038ed5778928b61e99100384a25c371b2d417fe13245fe2711c20544"
    "7732c115754cc4d0236e3309170469c45bfaf9b208d49d90709ae02faad06323ef8656b0"
)

PROVIDER = "5222264b40fa98f3e9a6b5352e1326e7bd9d1d435dc49e2fc61f61e9ea449efa"
AGENT_KID = "oJvjLvPUI8G0lwKih8xaTg"
BODY = '{"host":"198.51.100.7","host_keys":["ssh-ed25519 AAAA"],"password":"x","port":22,"user":"root"}'
CREDENTIAL_SIGNATURE = (
    "9OgLcbhZsj_FvhMqMpaa_DbtwEDxvLKB_6D-YrFZVOUXpR6EGv1jXR5uOzKX0BDBWOJ93xwK6nyfQVlB3PwMBQ"
)
CREDENTIAL = (
    '{"ct":"tTfzy4DuK4P8rlQR78jZzRMaeaI9wUp6CdtxGV0YwFYx23hWZ--EZpKX_jd2GNzSmSyH3MvJaAjw1yn'
    "8t5T7RTuYbFBkxSkhbgBnBBljrvzD_gUoPCGrgFqvUPRA8tXoeZjv2NmML8xfQEGKTsdKd37xSIhFsWerCukYG"
    "ZlLhku-D25PvlmWW9zzdY8wTB3B3jtkKo2ZI6wdmxI7yBUB2_ptPS6vpIP86ABba7KFgtGxxiq2pNyy_2VXVdO"
    "l6zAL4WqaeKx6xRuJn-9f2EIe-HYRAfZWf_u3_CXzLcfYRpfidxWTSyo3VOmbufCoigMIDOWKt2cZ5mnY-r-vF"
    "VD2hShJYPvAAps87h_NIANIgsFmIL5KeW6UjoAPQi4z83XO6-l1eRzib2s8of_MioDTOWDeDA6gjBVD-k_lMKl"
    "vuF-NXpziZhQrBAX7euIP7QfL6zyeos6d2aGphSgFMnY4f05_9HYP2lhS3w8qfWEEwSFDQEbZSPNwbGAY50UPS"
    "8D6z8JZMdThji5gWAwteaXiQWVb_--W-RLckipzpDzGXRUyF1WNL6yq1QqrN6X2hWvOMXn7Rh9FIjz5IPRrH5y"
    "j-ep7-1HM3_ulpTsXmxmUAFy7U4GwxjPzjEkMXRDlZ6b3OGHM4cV6QEZqSY8S6f6L8alx11Zca7pQ3z9w5D0Xd"
    "h5zsz8ynqrviGvc0fgerB5vYFEeKHdy3Cp1wav5sj7BCpSolcZQYE620b2R0MrHif18oNPqsLpeMJ725BEnwE4"
    "kYc218uTlqjmIk7TnApOXfIPzK5ZdeKxL0eIw3_WO2NHQFoWIm3z76iG7nwZZ_MJTRDrRJ5LnY2wNUcoqHk-ds"
    "I5RRZRTdipxYAQU-W6hhm0yPuO9cxAf3-9eBuSwzG_jEa61LDNiOlWwzEpQisu1ntR7LkeE16YOP9YQkd3k32n"
    "7NOzPr3ZwrzIGO2RPxtnavQQkjZw2fg8hsBcTlsHHgMvrfbeZqKHzlSZQMqMn462bxIUglZb_BOX-nzLy79Y6X"
    "HzyqNRyZa3u8cOxdPKwE3skC8iCQAPr86HbJ06lCi-EC0skcPEVT9OXdqh18eEsEMPgyaoibAtqu8g1gFWFWxF"
    "b9GDXv9wzBqpZrpjBbgNsVxjL8Fo6SL6iVHloeIgJPotbDUK3-teoylpwrnYsYUy16f1dQEsjy1-42aOzWx2sV"
    "q0s4-2soHUGTGfg0w12EN5oAW37nBojgn8YlQe3GJ6N5Xz4tg6GAOhcT-gIL48SOPv3ru2Fq-b6Pj94JnB1vrB"
    "plf_tDg6FzeJa7GjdGrm_F2hxH9Pr0yOVbuB-gdfgPBtEvDYsfrAyB3lS6llNPhH7yJ29pTdPOc991gZAav-7R"
    'AD7HNaxsU3i3J-HDQouXaQnzKc8jsCQrcEwPuUuPKHRD1tVC-EJGtqvEG-Nlw","gen":2,"n":1,"suite":1'
    ',"v":1}'
)
CREDENTIAL_JSON = json.loads(CREDENTIAL)

"""Texts with personal data, marked by «»."""
# ruff: noqa: RUF001 - as people write them

FINDS = """
email | write to «jo.bloggs@mail.example.org» please
email | «jo.bloggs+lists@example.co.uk»
email | <«jo@example.museum»>, and «al@example.info»; or «bo@example.biz»!
email | mailto:«first.last@sub.sub.example.travel»?subject=x
email | Contact:«o'brien@example.ie».
email | '«quoted@example.com»' and "«double@example.com»" and `«tick@example.com»`
email | ["«a.b@example.net»","«c_d@example.net»"]
email | user=«jane%home@example.org»&next=1
email | «jürgen@bücher.example»
email | write to «a.müller@bücher.example» and «é@éé.example» now
email | «почта@пример.рф», «नमस्ते@उदाहरण.भारत»
email | 联系«wang.lei@example.cn»。谢谢, संपर्क«bob@example.org»
email | メールは«tanaka@example.jp»です
email | «ann＠example．org», «ｊｏ＠ｅｘａｍｐｌｅ．ｏｒｇ» ﹫ «jo﹫example.org»
email | «ann@example。org» «ann@mail｡example｡org»。次に«bob@example.org»。次の
email | «über@exaḿple.org»
email | an "«"john doe"@example.com»" in quotes
email | «1234567@example.com»
email | «x@xn--mgbh0fb.xn--kgbechtv»
email | «jo[at]example[dot]org»
email | «jo(at)example.org»
email | «jo.bloggs{at}mail{dot}example{dot}org»
email | cc «A.LONG_NAME-with-parts@EXAMPLE.COM», thanks
email | mail:«a@b.io»
phone | «+44 20 7946 0958»
phone | Tel.: «+44 (0)20 7946 0958»
phone | (+44) or «+442079460958» please
phone | ring «+49 30 901820-12» or «+49 (0) 151 12345678»
phone | «+49-30-901820»
phone | «+33 1 70 18 99 00», «+33.1.70.18.99.00», «+33170189900»
phone | «+1 (202) 555-0173»
phone | «+1-202-555-0173» «+1 202.555.0173»
phone | «+12025550173»
phone | «+91 98765 43210», «+91-9876543210»
phone | «+86 138 1234 5678»
phone | «+81 90-1234-5678» and «+81-3-1234-5678»
phone | «+61 2 5550 1234», «+61 412 345 678»
phone | «+55 (11) 91234-5678»
phone | «+34 612 345 678» o «+34 912 34 56 78»
phone | «+39 06 698 12345»
phone | «+31 6 12345678», «+31 20 123 4567»
phone | «+41 44 668 18 00»
phone | «+43 1 5811234»
phone | «+48 601 234 567»
phone | «+7 (495) 123-45-67»
phone | «+380 44 123 4567»
phone | «+972 3-123-4567»
phone | «+971 50 123 4567»
phone | «+27 82 123 4567», «+234 803 123 4567», «+254 712 345678»
phone | «+62 812-3456-7890», «+63 917 123 4567», «+65 6123 4567»
phone | «+52 55 1234 5678», «+54 11 1234-5678», «+56 2 2123 4567», «+57 301 234 5678»
phone | «+30 21 0123 4567», «+90 532 123 45 67», «+20 2 12345678»
phone | «+353 1 234 5678», «+351 21 123 4567», «+358 40 1234567», «+420 601 123 456»
phone | «+46 8 123 456 78», «+47 22 12 34 56», «+45 12 34 56 78», «+354 512 3456»
phone | «+852 2123 4567», «+886 2 1234 5678», «+82 10-1234-5678», «+66 81 234 5678», «+84 91 234 56 78»
phone | call «(202) 555-0173» now
phone | «202-555-0173» or «202.555.0173»
phone | «(202)555-0173»
phone | «1-800-555-0199»
phone | «1 (202) 555-0173»
phone | call me at «2025550173»
phone | phone: «555-0173»
phone | my cell is «202 555 0173»
phone | «020 7946 0958» in London, «0161 496 0123» in Manchester, mobile «07700 900123»
phone | «(020) 7946 0958», «(01632) 960123»
phone | «01632 960 983»
phone | Anruf unter «030 901820» oder «0171 2345678»
phone | «030/901820», «0171/2345678», «089-12345678»
phone | Mobil: «0151 23456789»
phone | Meine Handynummer ist «015123456789»
phone | appelez le «01 70 18 99 00», ou «06.12.34.56.78»
phone | llámame al «612 345 678»
phone | tel. «91 123 45 67»
phone | chiama lo «02 1234 5678»
phone | bel «06-12345678» of «020-1234567»
phone | «044 668 18 00» in Zürich, «079 123 45 67» mobil
phone | telefon: «601 234 567»
phone | zadzwoń tel. «22 123 45 67»
phone | «(11) 91234-5678» é meu celular
phone | «(21) 2345-6789»
phone | ligue para «11 91234-5678»
phone | «090-1234-5678», «03-1234-5678», «0120-123-456»
phone | 我的手机号码是«13812345678»
phone | 手机 «138 1234 5678»
phone | my mobile no. is «98765 43210»
phone | WhatsApp «9876543210»
phone | «010-1234-5678»
phone | «0412 345 678» or «(02) 9876 5432»
phone | «052-1234567» and «03-1234567»
phone | «8 (495) 123-45-67»
phone | звоните: тел. «8 800 555-35-35»
phone | «0532 123 45 67»
phone | «0049 30 901820»
phone | {"phone":"«2025550173»"}
phone | phone_number=«2025550173»
phone | ring tlf «22 12 34 56»
phone | tel:«+1-202-555-0173»
phone | اتصل على «+966 11 123 4567» الآن
phone | Fax «0203 1234567»
phone | tel:«030 901820»
phone | phone=«(020) 7946 0958»
iban | IBAN:«DE89 3704 0044 0532 0130 00»
credit_card | «4111 1111 1111 1111»
credit_card | card 4111-1111-1111-1112? No, «4111-1111-1111-1111»
credit_card | «4111111111111111» exp 12/30 cvv 123
credit_card | «5222 5754 8020 4181»
credit_card | «5222.5754.8020.4181»
credit_card | «2223 0000 4841 0010»
credit_card | amex «3782 822463 10005», or «378282246310005»
credit_card | «6011-1111-1111-1117»
credit_card | «3056 930902 5904» and «30569309025904»
credit_card | «3530111333300000»
credit_card | «6200000000000005»
credit_card | {"number":"«4242424242424242»"}
credit_card | my visa: «4222222222222»
credit_card | my card is «4000 0000 0000 0000 006»
credit_card | Kreditkarte «6759649826438453»
iban | «DE89 3704 0044 0532 0130 00»
iban | IBAN:«DE89370400440532013000», BIC
iban | «de89 3704 0044 0532 0130 00»
iban | «GB29 NWBK 6016 1331 9268 19»
iban | «GB29-NWBK-6016-1331-9268-19»
iban | «FR1420041010050500013M02606»
iban | «NL91ABNA0417164300».
iban | «MT84 MALT 0110 0001 2345 MTLC AST0 01S»
iban | an «NO93 8601 1117 947» and «BE68 5390 0754 7034»
iban | «ES91 2100 0418 4502 0005 1332», «IT60 X054 2811 1010 0000 0123 456»
iban | «SA03 8000 0000 6080 1016 7519» «CH93 0076 2011 6238 5295 7»
iban | «PL61 1090 1014 0000 0712 1981 2874» to pay
us_ssn | my ssn is «536-22-8726»
us_ssn | SSN: «536228726»
us_ssn | «536-22-8726»
us_ssn | «536 22 8726»
us_ssn | «536.22.8726»
us_ssn | social security number «536 22 8726».
us_ssn | "ssn": "«536228726»"
us_ssn | user_ssn=«536-22-8726»
us_itin | «911-70-1234»
us_ein | EIN «12-3456789»
us_mbi | «1EG4-TE5-MK73»
us_bank_routing | routing number «021000021»
bank_account | account number: «12345678901»
bank_account | Kontonummer «1234567890»
us_npi | NPI «1234567893»
us_dea | DEA «AB1234563»
uk_nhs | NHS number «943 476 5919»
uk_nhs | NHS «9434765919»
uk_nino | «AB 12 34 56 C»
uk_nino | NI: «AB123456C»
uk_nino | «ab123456c»
uk_sort_code | sort code «12-34-56»
uk_utr | UTR «1234567890»
de_tax_id | Steuer-ID «86 095 742 719»
de_tax_id | meine Identifikationsnummer: «86095742719»
de_pension | «15 070649 C 103»
de_pension | SV-Nummer «15070649C103»
fr_nir | «2 55 08 14 168 025 38»
fr_nir | «255081416802538»
es_nif | «12345678Z»
es_nif | DNI «12.345.678-Z»
es_nif | NIE «X1234567L», «X-1234567-L»
it_fiscal_code | «RSSMRA85T10A562S»
it_fiscal_code | codice fiscale «rssmra85t10a562s»
it_vat | P. IVA «12345670785»
nl_bsn | BSN «111222333»
be_national | «85.07.30-033.28»
be_national | «85073003328»
pl_pesel | «44051401458»
pl_nip | «376-514-43-95»
pt_nif | NIF «123456789»
se_personnummer | «811228-9874»
se_personnummer | «19811228-9874»
fi_hetu | «131052-308T»
dk_cpr | CPR «070761-4285»
no_fodselsnummer | «01010750160»
cz_rodne_cislo | «710319/2745»
ro_cnp | «1800101221144»
bg_egn | ЕГН «7523169263»
hr_oib | OIB: «33392005961»
jmbg | «0101006500006»
ch_ahv | «756.9217.0769.85»
at_svnr | SVNR «1237 010180»
ie_pps | PPS number «1234567FA»
gr_afm | ΑΦΜ «090000045»
baltic_code | «37605030299»
hu_taj | TAJ «402 991 885»
tr_tckn | «10000000146»
ru_snils | «112-233-445 95»
ru_inn | ИНН «500100732259»
ua_rnokpp | ИНН «3184710691»
ca_sin | SIN «130 692 544»
ca_sin | «130-692-544»
mx_curp | «HEGG560427MVZRRL04»
mx_rfc | RFC «HEGG560427AB1»
br_cpf | «529.982.247-25»
br_cpf | CPF «52998224725»
br_cnpj | «11.222.333/0001-81»
ar_cuit | «20-12345678-6»
cl_rut | «12.345.678-5»
co_nit | NIT «800.197.268-4»
au_tfn | TFN «876 543 210»
au_medicare | «2123 45670 1»
au_abn | ABN «51 824 753 556»
nz_ird | IRD «49-091-850»
in_aadhaar | «3123 4567 8909»
in_pan | PAN «ABCPE1234F»
cn_resident_id | 身份证«11010519491231002X»
jp_my_number | マイナンバー «1234 5678 9018»
kr_rrn | «900101-1234567»
sg_fin | «S1234567D»
za_id | my South African ID is «8001015009087»
il_id | ID number «123456782»
th_id | «1-1017-00203-45-0»
tw_id | «A123456789»
hk_id | «A123456(3)»
pk_cnic | «35202-1234567-1»
ae_emirates_id | «784-1990-1234567-1»
ip | «192.168.0.1», «10.0.0.1» and «203.0.113.9»
ip | http://«192.0.2.10»:8080/x
ip | from «203.0.113.9», port 22
ip | [«2001:db8::1»]:8080
ip | «2001:db8:85a3::8a2e:370:7334»
ip | «2001:0db8:0000:0000:0000:8a2e:0370:7334»
ip | «fe80::1%eth0» and «::1»
ip | «::ffff:192.0.2.128»
mac_address | «00:1a:2b:3c:4d:5e»
mac_address | «00-1A-2B-3C-4D-5E»
mac_address | «001a.2b3c.4d5e»
crypto_wallet | «1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa»
crypto_wallet | «bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4»
crypto_wallet | send to «0x52908400098527886E0F7030069857D2E4169EE7»!
passport | passport no. «X1234567»
passport | my passport number is «AB1234567»
passport | Reisepass «C01X00T47»
passport | US passport «123456789»
passport | Passeport n° «12AB34567»
passport | «A12803456» is my passport number
driving_licence | driver's license «D1234567»
driving_licence | driving licence MORGA: «MORGA657054SM9IJ»
driving_licence | Führerschein «B072RRE2I55»
medical_record | MRN: «12345678»
medical_record | patient ID «P-1234567»
vehicle_id | VIN «1M8GDM9AXKP042788»
id_number | national ID «1234567890»
id_number | Personalausweis «T220001293»
bic | BIC: «COBADEFFXXX»
bic | SWIFT code «DEUTDEFF500»
number_plate | Kennzeichen «B-MW 1234»
number_plate | license plate «7ABC123»
date_of_birth | born on «3 May 1990» in Rome
date_of_birth | DOB: «1990-05-03»
date_of_birth | DOB «05/03/1990»
date_of_birth | Date of birth: «03.05.1990»
date_of_birth | my birthday is «May 3rd, 1990»
date_of_birth | geboren am «3. Mai 1990» in Ulm
date_of_birth | Geburtsdatum: «03.05.1990»
date_of_birth | né le «3 mai 1990»
date_of_birth | née le «1er janvier 1990»
date_of_birth | Date de naissance : «03/05/1990»
date_of_birth | Fecha de nacimiento: «3 de mayo de 1990»
date_of_birth | nacida el «03-05-1990»
date_of_birth | nato il «3 maggio 1990»
date_of_birth | data de nascimento «03/05/1990»
date_of_birth | geboren op «3 mei 1990»
date_of_birth | urodzona «3 maja 1990»
date_of_birth | född «1990-05-03»
date_of_birth | Дата рождения: «03.05.1990»
date_of_birth | 出生日期 «1990年5月3日»
date_of_birth | 생년월일 «1990-05-03»
date_of_birth | "birthdate": "«1990-05-03»"
address | I live at «221 Baker Street»
address | «742 Evergreen Lane, Springfield, IL 62704»
address | «1600 Amphitheatre Pkwy, Mountain View, CA 94043»
address | «10 Downing Street, London SW1A 2AA», UK
address | «350 Fifth Ave, Apt 4B, New York, NY 10118-0110»
address | «12 rue de la Paix, 75002 Paris»
address | «Musterstraße 12, 12345 Berlin»
address | Er wohnt in der «Lindenallee 5a».
address | «Hauptplatz 3, 8010 Graz»
address | «Keizersgracht 123, 1015 CJ Amsterdam»
address | «Calle Mayor 5, 28013 Madrid»
address | «Via Garibaldi 10, 00153 Roma»
""".strip().splitlines()


def marked(line: str) -> tuple[str, str, list[tuple[int, int]]]:
    """Return kind, text without the marks, and the places of the finds."""
    kind, _, rest = line.partition(" | ")
    text, spans, at = "", [], 0
    for index, part in enumerate(rest.replace("»", "«").split("«")):
        if index % 2:
            spans.append((at, at + len(part)))
        text, at = text + part, at + len(part)
    return kind, text, spans


SAMPLES = [marked(line) for line in FINDS]
